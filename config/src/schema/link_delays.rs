//! `interface_up_down_delays`: an interface, how long it must be down, and how long up, before that counts.

use std::time::Duration;

use super::*;

/// One line as written.
#[derive(Debug)]
pub(crate) struct LinkDelayDraft {
    pub(crate) interface: Named,
    pub(crate) down: Duration,
    pub(crate) up: Duration,
}

/// Longest delay in microseconds.
const MOST: u64 = 255_000_000;

pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let delays = &mut draft.link_delays;
    lowering.entries(line, |lowering, line| {
        let Some(interface) = lowering.interface(line, 0) else { return };
        let Some(down) = lowering.seconds(line, 1, 0, MOST) else { return };
        let up = match line.word(2) {
            Some(_) => lowering.seconds(line, 2, 0, MOST),
            None => Some(Duration::ZERO),
        };
        lowering.end(line, 3);
        delays.extend(up.map(|up| LinkDelayDraft { interface, down, up }));
    });
}

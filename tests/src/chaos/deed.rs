//! What can happen, and in which order a seed makes it happen.

/// Programs of the daemons.
pub const DAEMONS: [&str; 3] = ["vrrpd", "checkd", "ipvsd"];

/// What happens in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL.
    Kill(&'static str),
    /// SIGTERM, which a daemon ignores.
    Terminate(&'static str),
    /// SIGSTOP; whoever isn't replaced for it goes on a little later.
    Stop(&'static str),
    /// `keepalivectl restart`.
    Restart(&'static str),
    /// The same after its program was replaced by a new file.
    Upgrade(&'static str),
    /// SIGKILL while eight busy loops want the processors.
    StarveAndKill(&'static str),
    /// Another configuration.
    GoodReload,
    /// A configuration with a mistake.
    BadReload,
    /// Bytes without a meaning, on the network and on the control socket.
    Garbage,
}

/// A source of numbers that a seed determines: xorshift64.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Neighbouring seeds lead to different numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.throw(2);
        }
        dice
    }

    /// A number below `sides`.
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }
}

/// So many deeds in the order of this seed. Every deed comes once before any comes again.
#[must_use]
pub fn deeds(seed: u64, rounds: usize) -> Vec<Deed> {
    let mut dice = Dice::new(seed);
    let mut deck = Vec::new();
    let mut deeds = Vec::new();
    while deeds.len() < rounds {
        if deck.is_empty() {
            deck = all();
        }
        let sides = u64::try_from(deck.len()).unwrap_or(1);
        let drawn = usize::try_from(dice.throw(sides)).unwrap_or(0);
        deeds.push(deck.swap_remove(drawn));
    }
    deeds
}

fn all() -> Vec<Deed> {
    let one = |daemon| {
        [
            Deed::Kill(daemon),
            Deed::Terminate(daemon),
            Deed::Stop(daemon),
            Deed::Restart(daemon),
            Deed::Upgrade(daemon),
            Deed::StarveAndKill(daemon),
        ]
    };
    let mut all: Vec<Deed> = DAEMONS.into_iter().flat_map(one).collect();
    all.extend([Deed::GoodReload, Deed::GoodReload, Deed::BadReload, Deed::Garbage]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_leads_to_the_same_deeds_each_time_and_another_to_others() {
        assert_eq!(deeds(1, 40), deeds(1, 40));
        assert_ne!(deeds(1, 40), deeds(2, 40));
    }

    #[test]
    fn forty_rounds_have_every_deed() {
        let drawn = deeds(1, 40);
        assert_eq!(drawn.len(), 40);
        assert!(all().iter().all(|deed| drawn.contains(deed)));
    }
}

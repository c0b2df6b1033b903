//! Generic netlink: families that have a name and get a number when their module is loaded.
//!
//! Does: the 4-byte header, and the question for a family's number. Does not: know any family. The kernel loads
//! the module of a family that is asked for by name, with no capability needed from who asks.
//!
//! ```text
//!  0         1         2               4
//! +---------+---------+---------------+-----------
//! | command | version | 0             | attributes
//! +---------+---------+---------------+-----------
//! ```

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::time::Duration;

use nix::errno::Errno;

use crate::attribute::{Attributes, Writer};
use crate::frame::{Flags, Message};
use crate::socket::{RequestError, Socket};

/// Number of a family in the running kernel: a message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(u16);

impl Family {
    /// A number that the kernel gave earlier, or any in a test.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// A request to this family: `attributes` must have begun after [`header`].
    #[must_use]
    pub fn message(self, attributes: Writer, flags: Flags) -> Message {
        Message { kind: self.0, flags, payload: attributes.into_bytes() }
    }

    /// True for replies of this family.
    #[must_use]
    pub fn sent(self, kind: u16) -> bool {
        kind == self.0
    }
}

/// Attributes after the header of `command`.
#[must_use]
pub fn header(command: u8, version: u8) -> Writer {
    Writer::after(&[command, version, 0, 0])
}

/// Splits a reply into its command and its attributes.
#[must_use]
pub fn split(payload: &[u8]) -> Option<(u8, Attributes<'_>)> {
    let ([command, _, _, _], attributes) = payload.split_first_chunk::<4>()?;
    Some((*command, Attributes::new(attributes)))
}

/// Why a family has no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The kernel doesn't have the family, and no module brings it.
    #[error("the kernel has no generic netlink family {0}")]
    Unavailable(&'static str),
    /// The question failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Asks the kernel for the number of a family.
///
/// # Errors
/// The kernel doesn't have it, or the question failed.
pub fn resolve(
    socket: &mut Socket,
    name: &'static str,
    left: impl FnMut() -> Duration,
) -> Result<Family, ResolveError> {
    let mut question = header(CTRL_CMD_GETFAMILY, 1);
    question.put_text(CTRL_ATTR_FAMILY_NAME, name);
    let question = Family(GENL_ID_CTRL).message(question, Flags::Ack);
    let mut family = None;
    let asked = socket.dump(&question, left, |_, payload| family = family.or(read_family(payload)));
    match asked {
        Ok(()) => family.ok_or(ResolveError::Unavailable(name)),
        Err(RequestError::Refused(error)) if error.errno == Errno::ENOENT => {
            Err(ResolveError::Unavailable(name))
        }
        Err(error) => Err(error.into()),
    }
}

fn read_family(payload: &[u8]) -> Option<Family> {
    let (command, mut attributes) = split(payload)?;
    if command != CTRL_CMD_NEWFAMILY {
        return None;
    }
    attributes.find(|attribute| attribute.kind == CTRL_ATTR_FAMILY_ID)?.u16().map(Family)
}

const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_answer() {
        let mut answer = header(1, 2);
        answer.put_text(2, "IPVS").put(1, &31_u16.to_ne_bytes());
        assert_eq!(read_family(&answer.into_bytes()), Some(Family(31)));
    }

    #[test]
    fn an_answer_of_another_command_has_no_number() {
        let mut answer = header(2, 2);
        answer.put(1, &31_u16.to_ne_bytes());
        assert_eq!(read_family(&answer.into_bytes()), None);
    }
}

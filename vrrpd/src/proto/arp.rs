//! Gratuitous ARP (RFC 826, RFC 5227 section 3), request form: "this address is here now".
//!
//! ```text
//! Ethernet: destination ff:ff:ff:ff:ff:ff (6)  source (6)  type 0x0806 (2)
//! ARP:      hardware type 1 (2)  protocol type 0x0800 (2)  lengths 6, 4 (2)  operation 1 (2)
//!           sender hardware (6)  sender address (4)  target hardware ff.. (6)  target address (4)
//! ```
//!
//! Builds the frame and nothing else; `announce` decides when. Input is configuration and a link's address.

use std::net::Ipv4Addr;

/// Length of the frame.
pub const FRAME_LENGTH: usize = 42;

/// Frame that announces `address` at the link-layer address `hardware`.
#[must_use]
pub fn gratuitous(hardware: [u8; 6], address: Ipv4Addr) -> [u8; FRAME_LENGTH] {
    let [h0, h1, h2, h3, h4, h5] = hardware;
    let [a0, a1, a2, a3] = address.octets();
    [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, h0, h1, h2, h3, h4, h5, 0x08, 0x06, // Ethernet
        0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01, // request
        h0, h1, h2, h3, h4, h5, a0, a1, a2, a3, // sender
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, a0, a1, a2, a3, // target
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_frame() {
        let frame = gratuitous([2, 0x77, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 10));
        assert_eq!(
            frame.to_vec(),
            [
                255, 255, 255, 255, 255, 255, 2, 0x77, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0x77, 0,
                0, 0, 1, 192, 0, 2, 10, 255, 255, 255, 255, 255, 255, 192, 0, 2, 10
            ]
        );
    }
}

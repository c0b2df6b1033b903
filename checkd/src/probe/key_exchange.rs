//! The keys of a TLS handshake, X25519 (RFC 7748): the dearest part of a check that resumes its session.
//!
//! Graviola's takes half the time of ring's and needs instructions that not every processor has: whoever lacks them, or
//! is no x86-64 or AArch64, gets ring's. What servers send is untrusted; a key that would give nobody a secret is refused.

use rustls::crypto::{SupportedKxGroup, ring};

/// Groups that are offered, the first with a key of its own in the first message: those of ring, in its order.
pub(super) fn groups() -> Vec<&'static dyn SupportedKxGroup> {
    let mut groups = ring::ALL_KX_GROUPS.to_vec();
    quicken(&mut groups);
    groups
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn quicken(groups: &mut [&'static dyn SupportedKxGroup]) {
    if !graviola::util::is_cpu_supported() {
        return;
    }
    for group in groups.iter_mut().filter(|group| group.name() == rustls::NamedGroup::X25519) {
        *group = &quick::X25519;
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn quicken(_: &mut [&'static dyn SupportedKxGroup]) {}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod quick {
    use graviola::key_agreement::x25519::{PrivateKey, PublicKey};
    use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
    use rustls::ffdhe_groups::FfdheGroup;
    use rustls::{Error, NamedGroup, PeerMisbehaved};

    /// X25519 by graviola; only where [`graviola::util::is_cpu_supported`].
    #[derive(Debug)]
    pub(super) struct X25519;

    impl SupportedKxGroup for X25519 {
        fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
            let private = PrivateKey::new_random().map_err(|_| GetRandomFailed)?;
            let public = private.public_key().as_bytes();
            Ok(Box::new(Exchange { private, public }))
        }

        fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
            None
        }

        fn name(&self) -> NamedGroup {
            NamedGroup::X25519
        }
    }

    struct Exchange {
        private: PrivateKey,
        public: [u8; 32],
    }

    impl ActiveKeyExchange for Exchange {
        fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
            let agreed = PublicKey::try_from_slice(theirs).and_then(|key| self.private.diffie_hellman(&key));
            let secret = agreed.map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
            // Both are wiped when they go; a copy in between would not be.
            Ok(SharedSecret::from(secret.0.as_slice()))
        }

        fn pub_key(&self) -> &[u8] {
            &self.public
        }

        fn group(&self) -> NamedGroup {
            NamedGroup::X25519
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    fn group(groups: &[&'static dyn SupportedKxGroup], name: NamedGroup) -> &'static dyn SupportedKxGroup {
        *groups.iter().find(|group| group.name() == name).unwrap()
    }

    #[test]
    fn the_groups_of_ring_are_offered_in_its_order() {
        let names: Vec<NamedGroup> = groups().iter().map(|group| group.name()).collect();
        assert_eq!(names, [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]);
    }

    #[test]
    fn it_agrees_on_a_secret_with_the_implementation_of_ring() {
        for _ in 0..100 {
            let ours = group(&groups(), NamedGroup::X25519).start().unwrap();
            let theirs = group(ring::ALL_KX_GROUPS, NamedGroup::X25519).start().unwrap();
            let (our_key, their_key) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
            assert_eq!(our_key.len(), 32);
            let ours = ours.complete(&their_key).unwrap();
            let theirs = theirs.complete(&our_key).unwrap();
            assert_eq!(ours.secret_bytes(), theirs.secret_bytes());
        }
    }

    #[test]
    fn a_key_that_gives_nobody_a_secret_is_refused() {
        // Points of small order (RFC 7748 section 6.1), and lengths that are no key.
        let mut one = [0; 32];
        one[0] = 1;
        for bad in [&[0; 32][..], &one, &[9; 31], &[9; 33], &[]] {
            let exchange = group(&groups(), NamedGroup::X25519).start().unwrap();
            assert!(exchange.complete(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_handshake_has_a_key_of_its_own() {
        let key = || group(&groups(), NamedGroup::X25519).start().unwrap().pub_key().to_vec();
        assert_ne!(key(), key());
    }
}

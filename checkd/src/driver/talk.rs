//! What is said over one connection: the probe's words, through TLS where the check asks for it.
//!
//! Joins [`crate::probe`]'s dialogues with TLS and a queue of bytes to send; knows no socket. Called by
//! [`super::connection`]. Everything received is untrusted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;

use config::model::check::{CheckKind, HttpCheck, HttpUrl};

use crate::probe::body::Patterns;
use crate::probe::certificate::Trust;
use crate::probe::http::{BodyLength, Exchange};
use crate::probe::smtp::Dialogue;
use crate::probe::tls::{Session, TlsClient, TlsFailure};
use crate::probe::{Failure, Outcome};
use crate::roster::Roster;

/// Which check a connection serves.
pub(super) struct Subject<'a> {
    /// What it does.
    pub(super) kind: &'a CheckKind,
    /// The url that an HTTP check fetches.
    pub(super) url: Option<&'a HttpUrl>,
    /// TLS settings of an SSL_GET.
    pub(super) tls: Option<&'a TlsClient>,
    /// Patterns of bodies.
    pub(super) patterns: &'a Patterns,
}

/// What the server said.
pub(super) enum Said<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Nothing more will come.
    End,
    /// Nothing more will come, since the connection broke.
    Broken(ErrorKind),
}

/// One exchange.
pub(super) struct Talk {
    dialogue: Speech,
    tls: Option<Box<Session>>,
    output: Vec<u8>,
    sent: usize,
}

enum Speech {
    Http(Box<Exchange>),
    Smtp(Dialogue),
}

impl Talk {
    /// Begins; `None` for a check that says nothing.
    pub(super) fn start(subject: &Subject<'_>) -> Result<Option<Self>, Failure> {
        let mut output = Vec::new();
        if let CheckKind::Smtp(_) = subject.kind {
            let dialogue = Speech::Smtp(Dialogue::default());
            return Ok(Some(Self { dialogue, tls: None, output, sent: 0 }));
        }
        let CheckKind::Http(check) = subject.kind else { return Ok(None) };
        let url = subject.url.ok_or(Failure::NoData)?;
        let pattern = url.regex.as_ref().and_then(|wanted| subject.patterns.compiled(wanted));
        let dialogue = Speech::Http(Box::new(Exchange::start(check, url, &mut output).with(pattern)));
        let tls = match (&check.tls, subject.tls) {
            (None, _) => None,
            (Some(_), None) => return Err(TlsFailure::Internal.into()),
            (Some(_), Some(client)) => {
                let mut session = Session::start(client, check, url, &output)?;
                output.clear();
                session.output(&mut output);
                Some(Box::new(session))
            }
        };
        Ok(Some(Self { dialogue, tls, output, sent: 0 }))
    }

    /// TLS has yet to be agreed on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Nothing of an answer to a request has come yet.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(&self.dialogue, Speech::Http(exchange) if !exchange.has_begun())
    }

    /// How far the server has come: what it has said in full, of TLS, the header of an answer and replies.
    pub(super) fn milestones(&self) -> u8 {
        let agreed = self.tls.as_ref().is_some_and(|session| !session.is_handshaking());
        u8::from(agreed)
            + match &self.dialogue {
                Speech::Http(exchange) => u8::from(exchange.has_head()),
                Speech::Smtp(dialogue) => dialogue.replies(),
            }
    }

    /// Takes what came. With an outcome a last word may wait in [`Self::output`].
    pub(super) fn receive(&mut self, subject: &Subject<'_>, said: &Said<'_>) -> Option<Outcome> {
        let outcome = self.take(subject, said)?;
        if let (Some(tls), true) = (&mut self.tls, subject.url.is_some_and(|url| url.tls_compliant)) {
            tls.leave(&mut self.output);
        }
        Some(outcome)
    }

    fn take(&mut self, subject: &Subject<'_>, said: &Said<'_>) -> Option<Outcome> {
        let Some(tls) = &mut self.tls else { return self.hear(subject, said) };
        match said {
            Said::Bytes(records) => {
                let mut plain = Vec::new();
                let state = tls.receive(records, &mut plain);
                tls.output(&mut self.output);
                let ended = tls.has_ended();
                let outcome = if plain.is_empty() { None } else { self.hear(subject, &Said::Bytes(&plain)) };
                match (outcome, state) {
                    (Some(outcome), _) => Some(outcome),
                    (None, Err(failure)) => Some(Outcome::Fail(failure.into())),
                    (None, Ok(())) if ended => match self.hear(subject, &Said::End) {
                        Some(Outcome::Fail(Failure::NoData)) => Some(Outcome::Fail(Failure::EndedEarly)),
                        outcome => outcome,
                    },
                    (None, Ok(())) => None,
                }
            }
            Said::Broken(kind) if tls.is_handshaking() => Some(Outcome::Fail(Failure::Connect(*kind))),
            Said::End | Said::Broken(_) => {
                let orderly = tls.close();
                match (orderly, tls.is_handshaking()) {
                    (Err(failure), true) => Some(Outcome::Fail(failure.into())),
                    (Ok(()) | Err(_), _) => self.hear(subject, &Said::End),
                }
            }
        }
    }

    /// How long the body of an answer was, once it is judged.
    pub(super) fn length(&self) -> Option<BodyLength> {
        if let Speech::Http(exchange) = &self.dialogue { exchange.length() } else { None }
    }

    /// Bytes that the server should get next.
    pub(super) fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes of [`Self::output`] are gone; more than there are: all.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    fn hear(&mut self, subject: &Subject<'_>, said: &Said<'_>) -> Option<Outcome> {
        match (&mut self.dialogue, said, subject.kind, subject.url) {
            (Speech::Http(exchange), Said::Bytes(bytes), _, Some(url)) => exchange.receive(url, bytes),
            (Speech::Http(exchange), Said::End, _, Some(url)) => Some(exchange.close(url)),
            (_, Said::Broken(kind), _, _) => Some(Outcome::Fail(Failure::Receive(*kind))),
            (Speech::Smtp(dialogue), Said::Bytes(bytes), CheckKind::Smtp(check), _) => {
                dialogue.receive(&check.helo_name, bytes, &mut self.output)
            }
            (Speech::Http(_) | Speech::Smtp(_), _, _, _) => Some(Outcome::Fail(Failure::NoData)),
        }
    }
}

/// TLS settings of a checker, made at its first use.
pub(super) fn client<'a>(
    trust: &mut Option<Trust>,
    clients: &'a mut BTreeMap<usize, TlsClient>,
    position: usize,
    kind: &CheckKind,
    roster: &Roster,
) -> Option<&'a TlsClient> {
    let CheckKind::Http(HttpCheck { tls: Some(tls), .. }) = kind else { return None };
    match clients.entry(position) {
        Entry::Occupied(known) => Some(known.into_mut()),
        Entry::Vacant(free) => {
            let trust = trust.get_or_insert_with(|| Trust::new(roster.tls()));
            TlsClient::new(trust, tls).map(|client| &*free.insert(client))
        }
    }
}

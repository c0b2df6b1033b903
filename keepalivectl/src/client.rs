//! One call over the control socket: a JSON object, a NUL byte, and the same back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ipc::messages::ctl::{Failure, MAX_REPLY, Reply, Request};

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens, or we may not connect.
    #[error("{}: {source} (is keepalived running?)", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection failed.
    #[error("control socket: {0}")]
    Io(#[from] io::Error),
    /// The answer is no answer.
    #[error("answer not understood: {0}")]
    Malformed(String),
    /// The suite says no.
    #[error("{message}")]
    Failed {
        /// Name of the error.
        error: String,
        /// Why.
        message: String,
    },
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or we may not connect.
    pub fn connect(path: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path)
            .map_err(|source| CallError::Connect { path: path.to_owned(), source })?;
        Ok(Self { stream })
    }

    /// Calls and waits for the answer's `parameters`.
    ///
    /// # Errors
    /// The connection failed, or the suite says no.
    pub fn call(&mut self, request: &Request) -> Result<serde_json::Value, CallError> {
        let mut bytes =
            serde_json::to_vec(request).map_err(|error| CallError::Malformed(error.to_string()))?;
        bytes.push(0);
        self.stream.write_all(&bytes)?;
        let mut answer = Vec::new();
        let limit = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX);
        BufReader::new((&self.stream).take(limit)).read_until(0, &mut answer)?;
        if answer.pop() != Some(0) {
            return Err(CallError::Malformed("the connection ended inside it".to_owned()));
        }
        if let Ok(Failure { error, parameters }) = serde_json::from_slice(&answer) {
            return Err(CallError::Failed { error, message: parameters.message });
        }
        let reply: Reply<serde_json::Value> =
            serde_json::from_slice(&answer).map_err(|error| CallError::Malformed(error.to_string()))?;
        Ok(reply.parameters)
    }
}

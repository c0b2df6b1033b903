//! Calls over a control socket: a JSON object, a NUL byte, and the same back, once or many times.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ipc::messages::ctl::{Failure, MAX_REPLY, Reply, Request};
use serde_json::Value;

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
    /// Runs a call over a socket in the run directory that takes it: over the one for reading where that is enough,
    /// and over the other one when that does not answer or we may not connect to it.
    ///
    /// # Errors
    /// Those of [`Self::connect`] and of the call.
    pub fn with<T>(
        run_dir: &Path,
        request: &Request,
        mut call: impl FnMut(&mut Self) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        if request.is_harmless() {
            match Self::connect(&run_dir.join("status.sock")).and_then(|mut client| call(&mut client)) {
                Err(CallError::Connect { .. } | CallError::Io(_) | CallError::Malformed(_)) => {}
                answered => return answered,
            }
        }
        call(&mut Self::connect(&run_dir.join("control.sock"))?)
    }

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
    pub fn call(&mut self, request: &Request) -> Result<Value, CallError> {
        let call = serde_json::to_value(request).map_err(|error| CallError::Malformed(error.to_string()))?;
        self.send(&call)?;
        Self::answer(&mut BufReader::new(&self.stream))
    }

    /// Calls for many answers and hands each to `each` until that says no.
    ///
    /// # Errors
    /// The connection failed, or the suite says no.
    pub fn follow(
        &mut self,
        request: &Request,
        mut each: impl FnMut(Value) -> Result<bool, CallError>,
    ) -> Result<(), CallError> {
        let mut call =
            serde_json::to_value(request).map_err(|error| CallError::Malformed(error.to_string()))?;
        if let Value::Object(fields) = &mut call {
            fields.insert("more".to_owned(), Value::from(true));
        }
        self.send(&call)?;
        let mut reader = BufReader::new(&self.stream);
        while each(Self::answer(&mut reader)?)? {}
        Ok(())
    }

    fn send(&mut self, call: &Value) -> Result<(), CallError> {
        let mut bytes = serde_json::to_vec(call).map_err(|error| CallError::Malformed(error.to_string()))?;
        bytes.push(0);
        Ok(self.stream.write_all(&bytes)?)
    }

    fn answer(reader: &mut BufReader<&UnixStream>) -> Result<Value, CallError> {
        let mut answer = Vec::new();
        let limit = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX);
        reader.by_ref().take(limit).read_until(0, &mut answer)?;
        if answer.pop() != Some(0) {
            return Err(CallError::Malformed("the connection ended inside it".to_owned()));
        }
        if let Ok(Failure { error, parameters }) = serde_json::from_slice(&answer) {
            let message = if parameters.message.is_empty() { error.clone() } else { parameters.message };
            return Err(CallError::Failed { error, message });
        }
        let reply: Reply<Value> =
            serde_json::from_slice(&answer).map_err(|error| CallError::Malformed(error.to_string()))?;
        Ok(reply.parameters)
    }
}

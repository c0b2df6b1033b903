//! One call as it stands on the wire, and who may make it.
//!
//! Pure: bytes of an untrusted client become a request or the error that it is told. Reading and rates are [`super`]'s.

use ipc::messages::ctl::{INTERFACE, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Access;

/// A call whose method and parameters are understood.
#[derive(Debug)]
pub(super) struct Call {
    request: Request,
    more: bool,
    one_way: bool,
}

/// Parameters among which the one at fault is looked for: more than any method has. The search takes the square of them.
const MOST_PARAMETERS: usize = 8;

/// Why a call is refused: the errors of `org.varlink.service`, and one of our own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody here has this interface.
    InterfaceNotFound(String),
    /// The interface has no such method.
    MethodNotFound(String),
    /// This parameter is missing, of another type, or none of the method's.
    InvalidParameter(String),
    /// `status.sock` takes no orders.
    PermissionDenied,
    /// The method answers many times and must be called with `more`.
    ExpectedMore,
    /// Too many requests in too short a time.
    TooManyRequests,
}

impl Refusal {
    /// Name of the error and its parameters.
    pub(super) fn answer(self) -> (&'static str, Value) {
        match self {
            Self::InterfaceNotFound(interface) => {
                ("org.varlink.service.InterfaceNotFound", json!({ "interface": interface }))
            }
            Self::MethodNotFound(method) => {
                ("org.varlink.service.MethodNotFound", json!({ "method": method }))
            }
            Self::InvalidParameter(parameter) => {
                ("org.varlink.service.InvalidParameter", json!({ "parameter": parameter }))
            }
            Self::PermissionDenied => ("org.varlink.service.PermissionDenied", json!({})),
            Self::ExpectedMore => ("org.varlink.service.ExpectedMore", json!({})),
            Self::TooManyRequests => (
                "org.keepalived.Control.TooManyRequests",
                json!({ "message": "at most 200 requests at once and 200 a second" }),
            ),
        }
    }
}

/// `parameters` may be missing.
#[derive(Debug, Deserialize)]
struct Wire {
    method: String,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    more: bool,
    #[serde(default, rename = "oneway")]
    one_way: bool,
}

/// True for a call that wants no answer, not even that it is refused.
pub(super) fn wants_no_answer(text: &[u8]) -> bool {
    /// All else is passed over.
    #[derive(Deserialize)]
    struct Flag {
        #[serde(default, rename = "oneway")]
        one_way: bool,
    }
    serde_json::from_slice::<Flag>(text).is_ok_and(|flag| flag.one_way)
}

impl Call {
    /// Understands the bytes of a call.
    pub(super) fn read(text: &[u8]) -> Result<Self, Refusal> {
        let wire: Wire =
            serde_json::from_slice(text).map_err(|_| Refusal::InvalidParameter("method".to_owned()))?;
        let parameters = if wire.parameters.is_null() { json!({}) } else { wire.parameters };
        let request = understood(&wire.method, &parameters)
            .map_err(|error| refusal(&wire.method, &parameters, &error.to_string()))?;
        Ok(Self { request, more: wire.more, one_way: wire.one_way })
    }

    /// The request, if it may be made here and in this way.
    pub(super) fn permitted(self, access: Access) -> Result<Request, Refusal> {
        if access == Access::Reading && !self.request.is_harmless() {
            return Err(Refusal::PermissionDenied);
        }
        if matches!(self.request, Request::Watch(_)) && (!self.more || self.one_way) {
            return Err(Refusal::ExpectedMore);
        }
        Ok(self.request)
    }
}

fn understood(method: &str, parameters: &Value) -> serde_json::Result<Request> {
    serde_json::from_value(json!({ "method": method, "parameters": parameters }))
}

/// What is wrong with a call that failed to be understood with `error`.
fn refusal(method: &str, parameters: &Value, error: &str) -> Refusal {
    let interface = method.rsplit_once('.').map_or("", |(interface, _)| interface);
    if interface != INTERFACE && interface != "org.varlink.service" {
        return Refusal::InterfaceNotFound(interface.to_owned());
    }
    if error.starts_with("unknown variant") && error.contains(&format!("`{method}`")) {
        return Refusal::MethodNotFound(method.to_owned());
    }
    let missing = |error: &str| error.split("missing field `").nth(1)?.split('`').next().map(str::to_owned);
    if let Some(parameter) = missing(error) {
        return Refusal::InvalidParameter(parameter);
    }
    // The parameter is at fault without which the fault is gone, or is that it is missing.
    let given = parameters.as_object().filter(|given| given.len() <= MOST_PARAMETERS);
    let given = given.into_iter().flatten().map(|(name, _)| name.clone());
    let at_fault = |name: &String| {
        let mut others = parameters.clone();
        others.as_object_mut().and_then(|all| all.remove(name));
        match understood(method, &others) {
            Ok(_) => true,
            Err(error) => missing(&error.to_string()).as_ref() == Some(name),
        }
    };
    Refusal::InvalidParameter(given.into_iter().find(at_fault).unwrap_or_else(|| "parameters".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, Refusal> {
        Call::read(text.as_bytes()).and_then(|call| call.permitted(Access::Full))
    }

    fn invalid(parameter: &str) -> Refusal {
        Refusal::InvalidParameter(parameter.to_owned())
    }

    #[test]
    fn a_call_without_parameters_is_understood() {
        assert!(matches!(
            parse(r#"{"method":"org.keepalived.Control.GetStatus"}"#),
            Ok(Request::GetStatus(_))
        ));
    }

    #[test]
    fn a_daemon_is_named_by_its_name() {
        let call = r#"{"method":"org.keepalived.Control.Restart","parameters":{"daemon":"checkd"}}"#;
        assert!(matches!(parse(call), Ok(Request::Restart(_))));
        let call = r#"{"method":"org.keepalived.Control.Restart","parameters":{"daemon":"/bin/sh"}}"#;
        assert_eq!(parse(call), Err(invalid("daemon")));
    }

    #[test]
    fn what_is_unknown_is_named_and_is_no_panic() {
        let interface = |name: &str| Refusal::InterfaceNotFound(name.to_owned());
        assert_eq!(parse(r#"{"method":"x","parameters":7}"#), Err(interface("")));
        assert_eq!(parse(r#"{"method":"org.example.Ping.Ping"}"#), Err(interface("org.example.Ping")));
        let method = "org.keepalived.Control.Format";
        let unknown = parse(&format!(r#"{{"method":"{method}","parameters":{{}}}}"#));
        assert_eq!(unknown, Err(Refusal::MethodNotFound(method.to_owned())));
        assert_eq!(parse("[]"), Err(invalid("method")));
        assert_eq!(parse("\""), Err(invalid("method")));
    }

    #[test]
    fn the_parameter_that_is_missing_or_wrong_is_named() {
        let drain = |parameters: &str| {
            parse(&format!(r#"{{"method":"org.keepalived.Control.Drain","parameters":{parameters}}}"#))
        };
        assert_eq!(drain(r#"{"drained":true}"#), Err(invalid("server")));
        assert_eq!(drain(r#"{"drained":"yes","server":"a"}"#), Err(invalid("drained")));
        assert_eq!(drain(r#"{"drained":true,"server":7}"#), Err(invalid("server")));
        assert_eq!(drain("7"), Err(invalid("parameters")));
        let crowd: String = (0..500).map(|number| format!("\"{number}\":0,")).collect();
        assert_eq!(drain(&format!("{{{crowd}\"drained\":7,\"server\":\"a\"}}")), Err(invalid("parameters")));
    }

    #[test]
    fn a_stream_must_be_asked_for_as_one() {
        let call = r#"{"method":"org.keepalived.Control.Watch"}"#;
        assert_eq!(parse(call), Err(Refusal::ExpectedMore));
        let call = r#"{"method":"org.keepalived.Control.Watch","more":true,"parameters":{"after":7}}"#;
        assert!(matches!(parse(call), Ok(Request::Watch(_))));
    }
}

//! One call as it stands on the wire, and who may make it.

use ipc::messages::ctl::Request;
use serde::Deserialize;

use super::Access;

/// A call whose method and parameters are understood.
#[derive(Debug)]
pub(super) struct Call {
    request: Request,
    more: bool,
    /// No answer is wanted.
    pub(super) one_way: bool,
}

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Varlink's name of it.
    pub(super) error: &'static str,
    /// For people.
    pub(super) message: String,
}

/// `parameters` may be missing.
#[derive(Debug, Deserialize)]
struct Wire {
    method: String,
    #[serde(default)]
    parameters: serde_json::Value,
    #[serde(default)]
    more: bool,
    #[serde(default, rename = "oneway")]
    one_way: bool,
}

impl Call {
    /// Understands the bytes of a call.
    pub(super) fn read(text: &[u8]) -> Result<Self, Refusal> {
        let invalid = |error: serde_json::Error| Refusal {
            error: "org.varlink.service.InvalidParameter",
            message: error.to_string(),
        };
        let wire: Wire = serde_json::from_slice(text).map_err(invalid)?;
        let parameters = if wire.parameters.is_null() { serde_json::json!({}) } else { wire.parameters };
        let call = serde_json::json!({ "method": wire.method, "parameters": parameters });
        let request = serde_json::from_value(call).map_err(invalid)?;
        Ok(Self { request, more: wire.more, one_way: wire.one_way })
    }

    /// The request, if it may be made here and in this way.
    pub(super) fn permitted(self, access: Access) -> Result<Request, Refusal> {
        if access == Access::Reading && !self.request.is_harmless() {
            return Err(Refusal {
                error: "org.varlink.service.PermissionDenied",
                message: "orders are taken by control.sock only".to_owned(),
            });
        }
        if matches!(self.request, Request::Watch(_)) && (!self.more || self.one_way) {
            return Err(Refusal {
                error: "org.varlink.service.ExpectedMore",
                message: "this call is answered many times: call it with more".to_owned(),
            });
        }
        Ok(self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, &'static str> {
        Call::read(text.as_bytes())
            .and_then(|call| call.permitted(Access::Full))
            .map_err(|refusal| refusal.error)
    }

    const INVALID: &str = "org.varlink.service.InvalidParameter";

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
        assert_eq!(parse(call), Err(INVALID));
    }

    #[test]
    fn an_unknown_method_is_an_error_and_no_panic() {
        assert_eq!(parse(r#"{"method":"x","parameters":7}"#), Err(INVALID));
        assert_eq!(parse("[]"), Err(INVALID));
        assert_eq!(parse("\""), Err(INVALID));
    }

    #[test]
    fn a_stream_must_be_asked_for_as_one() {
        let call = r#"{"method":"org.keepalived.Control.Watch"}"#;
        assert_eq!(parse(call), Err("org.varlink.service.ExpectedMore"));
        let call = r#"{"method":"org.keepalived.Control.Watch","more":true,"parameters":{"after":7}}"#;
        assert!(matches!(parse(call), Ok(Request::Watch(_))));
    }
}

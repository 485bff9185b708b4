//! The stable reasons of errors, as they stand in `google.rpc.ErrorInfo`.

pub use crate::pb::ErrorReason as Reason;

/// The domain of every `google.rpc.ErrorInfo` in the network.
pub const DOMAIN: &str = "bankside";

impl Reason {
    /// The reason as it travels, for example `ORDER_NOT_FOUND`.
    #[must_use]
    pub fn as_wire(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    /// The reason that travels as this text; none for one that these contracts do not know.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::from_str_name(&format!("ERROR_REASON_{text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_without_its_prefix() {
        assert_eq!(Reason::OrderNotFound.as_wire(), "ORDER_NOT_FOUND");
        assert_eq!(Reason::from_wire("ORDER_NOT_FOUND"), Some(Reason::OrderNotFound));
        assert_eq!(Reason::from_wire("NO_SUCH_REASON"), None);
    }
}

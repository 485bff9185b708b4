//! One trace across servers: W3C Trace Context, in the `traceparent` header of every call.

use crate::clock::{Entropy, EntropyFailed};
use data_encoding::HEXLOWER;
use std::fmt;
use std::future::Future;

/// The header's name (W3C Trace Context, section 3.2).
pub const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Which trace a call belongs to, and which span of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// A new trace.
    ///
    /// # Errors
    /// [`EntropyFailed`].
    pub fn start(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let trace_id = entropy.id()?;
        Self { trace_id, span_id: [0; 8], sampled: true }.child(entropy)
    }

    /// A new span of the same trace.
    ///
    /// # Errors
    /// [`EntropyFailed`].
    pub fn child(self, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut span_id = [0; 8];
        entropy.fill(&mut span_id)?;
        Ok(Self { span_id, ..self })
    }

    /// Reads a `traceparent` header; `None` where it isn't one of version 00 or is all zeros.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let [flags] = bytes::<1>(flags)?;
        let context = Self { trace_id: bytes(trace)?, span_id: bytes(span)?, sampled: flags & 1 == 1 };
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }

    /// The context of the call that this task works on, where there is one. A spawned task has none
    /// until [`TraceContext::scope`] gives it one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Runs `work` with this context as the current one, so that outgoing calls carry it.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The trace's id in hexadecimal, as log lines show it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        HEXLOWER.encode(&self.trace_id)
    }
}

/// The header's value.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{}-{:02x}",
            HEXLOWER.encode(&self.trace_id),
            HEXLOWER.encode(&self.span_id),
            u8::from(self.sampled)
        )
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::clock::SeededEntropy;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert_eq!(context.to_string(), HEADER);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn anything_else_is_no_header() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_child_stays_in_its_trace_and_is_current_inside_its_scope() {
        let entropy = SeededEntropy::new(1);
        let parent = TraceContext::start(&entropy).unwrap();
        let child = parent.child(&entropy).unwrap();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent);
        assert_eq!(TraceContext::current(), None);
        let seen = child.scope(async { TraceContext::current() }).await;
        assert_eq!(seen, Some(child));
    }
}

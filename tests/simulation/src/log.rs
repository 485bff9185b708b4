//! What the real code logs: into the history, and past the checker of secrets.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::Arc,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::world::World;

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// Does something while all that is logged on this thread belongs to a world.
pub fn within<T>(world: &Arc<World>, work: impl FnOnce() -> T) -> T {
    WORLD.set(Some(Arc::clone(world)));
    let done = tracing::subscriber::with_default(Lines, work);
    WORLD.set(None);
    done
}

/// Whether this thread is at a run.
#[must_use]
pub fn is_within() -> bool {
    WORLD.with_borrow(Option::is_some)
}

/// Takes every line from information up.
#[derive(Debug)]
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(world) = WORLD.with_borrow(Clone::clone) else { return };
        let mut line = Line(String::with_capacity(128));
        event.record(&mut line);
        world.watch(|watch| watch.logged(&line.0));
        if *event.metadata().level() <= Level::WARN {
            world.tell(|| format!("{} {}:{}", event.metadata().level(), event.metadata().target(), line.0));
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text in memory can't fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

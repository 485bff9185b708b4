//! Tables of attacks: what was tried, what had to come of it, and what came.
//!
//! An attack counts as refused only where exactly the expected refusal was seen and everything else that its
//! table watches stayed as it was: the money on each account, the orders, the numbers, the state. What breaks
//! in an attack, an assertion among it, is that attack's result, and the others go on. What a table finds out
//! in the end, when everybody has stopped and the books are compared, is its reckoning: where that fails, none
//! of the table's attacks counts as refused.

use std::{
    any::Any,
    fmt::{self, Display},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
};

use mesh::status::reason_of;
use tonic::Status;

/// One attack, before it is played.
pub struct Attack<'a> {
    what: String,
    expected: String,
    is_control: bool,
    act: Pin<Box<dyn Future<Output = String> + Send + 'a>>,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was tried.
    pub what: String,
    /// What had to come of it.
    pub expected: String,
    /// What came, or what broke.
    pub got: String,
    /// Whether it is no attack but an honest act, which shows that the attacks beside it fail for what is
    /// wrong with them and for nothing else. It is not counted.
    pub is_control: bool,
}

/// A table that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its lines, in their order.
    pub tried: Vec<Tried>,
    /// What did not add up in the end.
    pub reckoning: Option<String>,
}

impl<'a> Attack<'a> {
    /// An attack that must come to exactly this.
    pub fn new(
        what: impl Into<String>,
        expected: impl Into<String>,
        act: impl Future<Output = String> + Send + 'a,
    ) -> Self {
        Self { what: what.into(), expected: expected.into(), is_control: false, act: Box::pin(act) }
    }

    /// An honest act that must come to exactly this.
    pub fn control(
        what: impl Into<String>,
        expected: impl Into<String>,
        act: impl Future<Output = String> + Send + 'a,
    ) -> Self {
        Self { is_control: true, ..Self::new(what, expected, act) }
    }

    /// Plays it.
    pub async fn play(self) -> Tried {
        let Self { what, expected, is_control, act } = self;
        let got = caught(act).await.unwrap_or_else(|broken| format!("broke: {broken}"));
        Tried { what, expected, got, is_control }
    }
}

/// Plays attacks one after the other.
pub async fn play_all(attacks: impl IntoIterator<Item = Attack<'_>>) -> Vec<Tried> {
    let mut tried = Vec::new();
    for attack in attacks {
        tried.push(attack.play().await);
    }
    tried
}

impl Tried {
    /// Whether it came to what it had to come to.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.got == self.expected
    }
}

impl Table {
    /// A table with what its reckoning said.
    #[must_use]
    pub fn new(name: &'static str, tried: Vec<Tried>, reckoning: Result<(), String>) -> Self {
        Self { name, tried, reckoning: reckoning.err() }
    }

    /// How many attacks there are.
    #[must_use]
    pub fn attacks(&self) -> usize {
        self.tried.iter().filter(|tried| !tried.is_control).count()
    }

    /// How many of them were refused: none where the reckoning or a control failed, since then nobody knows
    /// what the refusals are worth.
    #[must_use]
    pub fn refused(&self) -> usize {
        let controls_hold = self.tried.iter().all(|tried| !tried.is_control || tried.is_as_expected());
        if self.reckoning.is_some() || !controls_hold {
            return 0;
        }
        self.tried.iter().filter(|tried| !tried.is_control && tried.is_as_expected()).count()
    }

    /// Whether there are attacks and every one was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.attacks() > 0 && self.refused() == self.attacks()
    }

    /// Prints the table, and panics where an attack was not refused.
    ///
    /// # Panics
    /// An attack was not refused, a control failed, or the reckoning did.
    #[allow(clippy::print_stdout, reason = "the table is for whoever runs the test by hand")]
    pub fn must_be_refused(&self) {
        println!("{self}");
        let lines: Vec<_> =
            self.tried.iter().filter(|tried| !tried.is_as_expected()).map(|tried| format!("  {tried}\n")).collect();
        let reckoning = self.reckoning.as_deref().unwrap_or("holds");
        assert!(
            self.is_refused(),
            "{} of {} attacks refused; the reckoning: {reckoning}; not as expected:\n{}",
            self.refused(),
            self.attacks(),
            lines.concat()
        );
    }
}

impl Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, got, is_control } = self;
        let verdict = match (self.is_as_expected(), is_control) {
            (true, false) => "refused",
            (false, false) => "NOT REFUSED",
            (true, true) => "control",
            (false, true) => "CONTROL FAILED",
        };
        write!(f, "{verdict:<8} {what:<86} {expected:<54} {got}")
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8} {:<86} {:<54} got", "", self.name, "expected")?;
        for tried in &self.tried {
            writeln!(f, "{tried}")?;
        }
        if let Some(fault) = &self.reckoning {
            writeln!(f, "THE RECKONING FAILED: {fault}")?;
        }
        write!(f, "{}: {} attacks, {} refused", self.name, self.attacks(), self.refused())
    }
}

impl fmt::Debug for Attack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attack").field("what", &self.what).field("expected", &self.expected).finish_non_exhaustive()
    }
}

/// What came of a call, in a word: what the call says, or the reason of its refusal.
#[must_use]
pub fn in_a_word(answered: Result<String, Status>) -> String {
    answered.unwrap_or_else(|status| reason_of(&status).unwrap_or_else(|| format!("{status:?}")))
}

/// Does something that may break, and returns what broke.
///
/// # Errors
/// The text of the panic.
pub async fn caught<F: Future>(work: F) -> Result<F::Output, String> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(text_of(panic.as_ref()))),
    })
    .await
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(expected: &str, got: &str, is_control: bool) -> Tried {
        Tried { what: "an act".into(), expected: expected.into(), got: got.into(), is_control }
    }

    #[test]
    fn an_attack_that_came_to_something_else_is_not_refused() {
        let table = Table::new("table", vec![tried("A", "A", false), tried("A", "B", false)], Ok(()));
        assert_eq!((table.attacks(), table.refused()), (2, 1));
    }

    #[test]
    fn where_a_control_or_the_reckoning_fails_nothing_is_refused() {
        let lines = vec![tried("A", "A", false), tried("PAID", "PAID", true)];
        assert_eq!(Table::new("table", lines.clone(), Ok(())).refused(), 1);
        assert_eq!(Table::new("table", lines, Err("a hold is left".into())).refused(), 0);
        let lines = vec![tried("A", "A", false), tried("PAID", "A", true)];
        let table = Table::new("table", lines, Ok(()));
        assert_eq!((table.attacks(), table.refused()), (1, 0));
    }

    #[tokio::test]
    async fn what_breaks_is_the_attacks_result_and_the_next_one_goes_on() {
        let broken = Attack::new("breaks", "A", async { panic!("money moved") });
        let lines = play_all([broken, Attack::new("holds", "A", async { "A".to_owned() })]).await;
        assert_eq!(lines[0].got, "broke: money moved");
        assert_eq!(lines.iter().map(Tried::is_as_expected).collect::<Vec<_>>(), [false, true]);
    }
}

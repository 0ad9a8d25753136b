//! What a question met on its way to its value, and the counts of a run, so that agreement over worlds
//! in which nothing happens is not taken for proof. Must not know how values are computed.

use bailiwick::model::form::Expr;

use super::eval::Outcome;
use super::values::Value;

/// Something that a question may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Here,
    HereAny,
    Ref,
    Up,
    UpAll,
    Any,
    All,
    Except,
    Fact,
    Standing,
    SelfIs,
    Condition,
    Anywhere,
    As,
    LinkDecides,
    UnknownLink,
    LinkInLink,
    OfTarget,
    NoTarget,
    TargetDecides,
    UnknownResult,
    MissingContext,
    StoredContext,
    ExpiredSkipped,
    WildcardMatch,
    SetMatch,
    ComputedSetMatch,
    SetMatchesItself,
    SeveralParents,
    NearestFactsDiffer,
    FactBeyondUnknownEdge,
    NegatedAbove,
    GroupCycle,
    SubjectIsSet,
    SubjectIsAll,
    ReachDefault,
    ReachSelf,
    ReachParents,
    ReachBoth,
    ReachAnywhere,
    ContextualReplaces,
    ContextualExpired,
    ContextualCondition,
    ContextualEdge,
    ContextualFact,
    ContextualSet,
    ContextualName,
    ContextualDecides,
    Allow,
    Deny,
}

impl Mark {
    const ALL: [Self; 50] = [
        Self::Here,
        Self::HereAny,
        Self::Ref,
        Self::Up,
        Self::UpAll,
        Self::Any,
        Self::All,
        Self::Except,
        Self::Fact,
        Self::Standing,
        Self::SelfIs,
        Self::Condition,
        Self::Anywhere,
        Self::As,
        Self::LinkDecides,
        Self::UnknownLink,
        Self::LinkInLink,
        Self::OfTarget,
        Self::NoTarget,
        Self::TargetDecides,
        Self::UnknownResult,
        Self::MissingContext,
        Self::StoredContext,
        Self::ExpiredSkipped,
        Self::WildcardMatch,
        Self::SetMatch,
        Self::ComputedSetMatch,
        Self::SetMatchesItself,
        Self::SeveralParents,
        Self::NearestFactsDiffer,
        Self::FactBeyondUnknownEdge,
        Self::NegatedAbove,
        Self::GroupCycle,
        Self::SubjectIsSet,
        Self::SubjectIsAll,
        Self::ReachDefault,
        Self::ReachSelf,
        Self::ReachParents,
        Self::ReachBoth,
        Self::ReachAnywhere,
        Self::ContextualReplaces,
        Self::ContextualExpired,
        Self::ContextualCondition,
        Self::ContextualEdge,
        Self::ContextualFact,
        Self::ContextualSet,
        Self::ContextualName,
        Self::ContextualDecides,
        Self::Allow,
        Self::Deny,
    ];

    /// The mark of a node's kind.
    pub(super) fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Here(_) => Self::Here,
            Expr::HereAny(_) => Self::HereAny,
            Expr::Ref(_) => Self::Ref,
            Expr::Up { .. } => Self::Up,
            Expr::UpAll { .. } => Self::UpAll,
            Expr::Any(_) => Self::Any,
            Expr::All(_) => Self::All,
            Expr::Except(..) => Self::Except,
            Expr::Fact(_) => Self::Fact,
            Expr::Standing(_) => Self::Standing,
            Expr::SelfIs => Self::SelfIs,
            Expr::Condition(_) => Self::Condition,
            Expr::Anywhere { .. } => Self::Anywhere,
            Expr::As { .. } => Self::As,
            Expr::OfTarget(_) => Self::OfTarget,
        }
    }
}

/// A set of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks(u64);

impl Marks {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn add(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u32;
    }

    pub(super) fn add_if(&mut self, met: bool, mark: Mark) {
        if met {
            self.add(mark);
        }
    }

    pub(super) fn has(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u32) != 0
    }

    /// The value of an outcome, its marks added to these.
    pub(super) fn take(&mut self, outcome: Outcome) -> Value {
        self.0 |= outcome.marks.0;
        outcome.value
    }
}

/// How many questions met each mark.
#[derive(Debug, Clone)]
pub(super) struct Coverage {
    pub(super) questions: usize,
    counts: [usize; Mark::ALL.len()],
}

impl Coverage {
    pub(super) fn new() -> Self {
        Self { questions: 0, counts: [0; Mark::ALL.len()] }
    }

    pub(super) fn add(&mut self, marks: Marks) {
        self.questions += 1;
        for (count, mark) in self.counts.iter_mut().zip(Mark::ALL) {
            *count += usize::from(marks.has(mark));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.questions += other.questions;
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    fn rows(&self) -> impl Iterator<Item = (Mark, usize)> {
        Mark::ALL.into_iter().zip(self.counts)
    }

    pub(super) fn print(&self) {
        println!("{:>9} questions, of which met", self.questions);
        for (mark, count) in self.rows() {
            println!("{count:>9} {mark:?}");
        }
    }

    /// Every mark was met, and neither answer is rare.
    pub(super) fn assert_sufficient(&self) {
        for (mark, count) in self.rows() {
            assert!(count > 0, "no question met {mark:?}");
            if matches!(mark, Mark::Allow | Mark::Deny) {
                assert!(5 * count >= self.questions, "{mark:?} is under 20 %: {count}");
            }
        }
    }
}

#[test]
fn every_mark_is_counted_in_its_own_place() {
    for (at, mark) in Mark::ALL.into_iter().enumerate() {
        assert_eq!(mark as usize, at, "{mark:?}");
    }
}

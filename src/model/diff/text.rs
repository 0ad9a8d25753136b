//! An expression of the general form as text, in the words of the model language. What stands in any
//! order is sorted, so that equal expressions have equal texts. Decides nothing.

use crate::model::form::{ConditionId, Expr, FactTest, Model, NameId, TypeId};

/// How the texts of an expression's parts are made.
pub(super) trait Words {
    /// A name that is asked at the same scope.
    fn reference(&self, name: NameId) -> String;
    /// A role that is bound at the same scope.
    fn here(&self, role: NameId) -> String;
    /// A name that is asked where a relation leads.
    fn step(&self, function: &str, relation: NameId, name: NameId) -> String;
    /// A name that is asked anywhere.
    fn anywhere(&self, scopes: TypeId, name: NameId) -> String;
    /// A fact of the scope or of the subject.
    fn fact(&self, function: &str, test: &FactTest) -> String;
    /// A condition over the context.
    fn condition(&self, id: ConditionId) -> String;
    /// A relation by which subjects are linked.
    fn link(&self, link: NameId) -> String;
}

/// How tightly the outermost operator of a text binds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    One,
    Or,
    And,
    Except,
}

/// The text of an expression. Recurses as deep as the expression is, which compiling bounds.
pub(super) fn text_of(expr: &Expr, words: &dyn Words) -> String {
    render(expr, words).0
}

fn render(expr: &Expr, words: &dyn Words) -> (String, Outer) {
    let one = |text: String| (text, Outer::One);
    match expr {
        Expr::Here(role) => one(words.here(*role)),
        Expr::HereAny(_) => joined(std::slice::from_ref(expr), Outer::Or, words),
        Expr::Ref(name) => one(words.reference(*name)),
        Expr::Up { relation, name } => one(words.step("up", *relation, *name)),
        Expr::UpAll { relation, name } => one(words.step("up_all", *relation, *name)),
        Expr::Any(parts) => joined(parts, Outer::Or, words),
        Expr::All(parts) => joined(parts, Outer::And, words),
        Expr::Except(left, right) => {
            let text = format!("{} except {}", within(left, words), within(right, words));
            (text, Outer::Except)
        }
        Expr::Fact(test) => one(words.fact("fact", test)),
        Expr::Standing(test) => one(words.fact("standing", test)),
        Expr::SelfIs => one("self".to_owned()),
        Expr::Condition(id) => one(words.condition(*id)),
        Expr::Anywhere { scopes, name } => one(words.anywhere(*scopes, *name)),
        Expr::As { link, expr } => {
            one(format!("as({}, {})", words.link(*link), render(expr, words).0))
        }
        Expr::OfTarget(inner) => one(format!("of(target, {})", render(inner, words).0)),
    }
}

/// In parentheses if it is more than one word: nobody has to know what binds tighter.
fn within(expr: &Expr, words: &dyn Words) -> String {
    match render(expr, words) {
        (text, Outer::One) => text,
        (text, _) => format!("({text})"),
    }
}

fn joined(parts: &[Expr], outer: Outer, words: &dyn Words) -> (String, Outer) {
    let (none, word) = if outer == Outer::Or { ("no", " or ") } else { ("yes", " and ") };
    let mut texts = Vec::with_capacity(parts.len());
    flatten(parts, outer, words, &mut texts);
    texts.sort_unstable();
    texts.dedup();
    match texts.as_slice() {
        [] => (none.to_owned(), Outer::One),
        // Only one of them is left: how it must be wrapped was decided where it was made.
        [only] => (only.clone(), Outer::One),
        texts => (texts.join(word), outer),
    }
}

fn flatten(parts: &[Expr], outer: Outer, words: &dyn Words, texts: &mut Vec<String>) {
    for part in parts {
        match (part, outer) {
            (Expr::Any(inner), Outer::Or) | (Expr::All(inner), Outer::And) => {
                flatten(inner, outer, words, texts);
            }
            (Expr::HereAny(roles), Outer::Or) => {
                texts.extend(roles.iter().map(|role| words.here(*role)));
            }
            (part, _) => texts.push(within(part, words)),
        }
    }
}

/// The words of the author.
pub(super) struct Written<'m>(pub(super) &'m Model);

impl Words for Written<'_> {
    fn reference(&self, name: NameId) -> String {
        match self.0.name_of(name) {
            // The one helper that a person can write; an author's own name of this text has another id.
            "within" if self.0.name_id("within") != Some(name) => "within(target)".to_owned(),
            text => text.to_owned(),
        }
    }

    fn here(&self, role: NameId) -> String {
        format!("here({})", self.0.name_of(role))
    }

    fn step(&self, function: &str, relation: NameId, name: NameId) -> String {
        format!("{function}({}, {})", self.0.name_of(relation), self.0.name_of(name))
    }

    fn anywhere(&self, scopes: TypeId, name: NameId) -> String {
        format!("anywhere({}, {})", self.0.type_name(scopes), self.0.name_of(name))
    }

    fn fact(&self, function: &str, test: &FactTest) -> String {
        format!("{function}({})", feature(test))
    }

    fn condition(&self, id: ConditionId) -> String {
        let name = self.0.condition(id).map_or("", |condition| condition.name.as_str());
        format!("condition({name})")
    }

    fn link(&self, link: NameId) -> String {
        self.0.name_of(link).to_owned()
    }
}

/// `product:pro` of `feature:product:pro`.
pub(super) fn feature(test: &FactTest) -> &str {
    let text = test.feature.as_str();
    text.split_once(':').map_or(text, |(_, rest)| rest)
}

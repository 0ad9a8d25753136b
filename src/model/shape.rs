//! Which tuples the model can admit, said of some of their parts: a shape that none can have is a slip
//! of the pen, and no question that is answered by "nothing". Knows no tuple and no id.

use super::admission::declared_fact;
use super::form::{FEATURE, HAS, Model, NameId, SubjectForm, TypeDef, TypeId};
use super::names::{Object, Subject};

/// Parts of a tuple. `None` leaves one open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape<'a> {
    /// The type of the scope.
    pub scope: Option<TypeId>,
    /// The role, the relation, or `has`.
    pub role: Option<NameId>,
    /// The type of the subject, of whatever form.
    pub subject_type: Option<TypeId>,
    /// The subject, and its form.
    pub subject: Option<(&'a Subject, SubjectForm)>,
}

impl Shape<'_> {
    /// Whether the model admits some tuple of this shape. Costs a pass over its types.
    #[must_use]
    pub fn is_possible(&self, model: &Model) -> bool {
        let scopes = (0u16..).map(TypeId).zip(&model.types);
        let mut scopes = scopes.filter(|(id, _)| self.scope.is_none_or(|scope| scope == *id));
        scopes.any(|(_, def)| self.is_possible_on(model, def))
    }

    fn is_possible_on(&self, model: &Model, def: &TypeDef) -> bool {
        let is_role = |name| self.role.is_none_or(|role| role == name);
        let roles = def.roles.iter().filter(|role| is_role(role.name));
        let edges = def.edges.iter().filter(|edge| is_role(edge.relation));
        let targets = edges.flat_map(|edge| &edge.targets).map(|of| SubjectForm::Object(*of));
        let mut forms = roles.flat_map(|role| &role.bound_by).copied().chain(targets);
        forms.any(|form| self.admits(form)) || is_role(HAS) && self.admits_fact(model, def)
    }

    fn admits(&self, form: SubjectForm) -> bool {
        let (SubjectForm::Object(of) | SubjectForm::All(of) | SubjectForm::Set(of, _)) = form;
        self.subject_type.is_none_or(|wanted| wanted == of)
            && self.subject.is_none_or(|(_, wanted)| wanted == form)
    }

    fn admits_fact(&self, model: &Model, def: &TypeDef) -> bool {
        let is_declared = |feature: &Object| declared_fact(model, def, "", feature).is_ok();
        !def.facts.is_empty()
            && self.admits(SubjectForm::Object(FEATURE))
            && self.subject.is_none_or(|(subject, _)| match subject {
                Subject::Object(feature) => is_declared(feature),
                Subject::All(_) | Subject::Set(..) => false,
            })
    }
}

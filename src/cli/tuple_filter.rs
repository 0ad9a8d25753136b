//! Which stored tuples a command line means. Shared by `read` and `export`.

use clap::builder::NonEmptyStringValueParser as NotEmpty;

use crate::api::pb::v1 as pb;

/// The filter; what is not given matches all. On the wire an empty text is not given, so an empty
/// variable of a script must not pass for a filter.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FilterArgs {
    /// Tuples at this scope: `org:acme`
    #[arg(long, value_parser = NotEmpty::new())]
    scope: Option<String>,
    /// Tuples at scopes of this type: `org`
    #[arg(long, value_name = "TYPE", value_parser = NotEmpty::new())]
    scope_type: Option<String>,
    /// Tuples of this role or relation: `technician`
    #[arg(long, value_parser = NotEmpty::new())]
    role: Option<String>,
    /// Tuples with this very subject: `user:ana`, `group:ops#member`, `user:*`
    #[arg(long, value_parser = NotEmpty::new())]
    subject: Option<String>,
    /// Tuples with subjects of this type: `user`
    #[arg(long, value_name = "TYPE", value_parser = NotEmpty::new())]
    subject_type: Option<String>,
    /// Tuples from this source; the empty one is what is granted here
    #[arg(long)]
    source: Option<String>,
}

impl FilterArgs {
    /// As the wire carries it.
    pub(super) fn into_wire(self) -> pb::TupleFilter {
        pb::TupleFilter {
            scope_type: self.scope_type.unwrap_or_default(),
            scope: self.scope.unwrap_or_default(),
            role: self.role.unwrap_or_default(),
            subject_type: self.subject_type.unwrap_or_default(),
            subject: self.subject.unwrap_or_default(),
            source: self.source,
        }
    }
}

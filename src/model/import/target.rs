//! Where a table is imported to: the matrix file there is, or a new one.

use super::{Import, ImportError};
use crate::model::document::{Written, is_read};
use crate::model::files::SourceFiles;
use crate::model::names::{Name, quoted};
use crate::model::source::MatrixSource;
use crate::model::suggest::nearest;
use crate::model::table::Table;

/// The name of the matrix of a new model, and that of its file.
const NEW_MATRIX: (&str, &str) = ("roles", "permissions.csv");

/// A place for a table.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) file: String,
    /// `None`: there is no model yet.
    pub(super) written: Option<Written>,
    /// The matrix file as it is; empty if there is none.
    pub(super) table: Table,
}

impl Target {
    pub(super) fn find(files: &SourceFiles, import: &Import<'_>) -> Result<Self, ImportError> {
        let wrong = |what: String| ImportError::Target(what);
        let has_model = files.get(crate::model::MODEL_FILE).is_some();
        let written = Written::open(files);
        if has_model && written.is_none() {
            let what = "the model there has problems: `bailiwick model check` tells them";
            return Err(wrong(what.to_owned()));
        }
        let Some(written) = written else {
            let (name, file) = import
                .name
                .map_or((NEW_MATRIX.0, NEW_MATRIX.1.to_owned()), |name| (name, file_of(name)));
            check_name(name)?;
            let table = known(files, &file)?;
            return Ok(Self { name: name.to_owned(), file, written: None, table });
        };
        let matrices = || written.source.matrices.iter().map(|m| m.name.text.as_str());
        let name = match (import.name, matrices().count()) {
            (Some(name), _) => name.to_owned(),
            (None, 1) => matrices().next().unwrap_or_default().to_owned(),
            (None, 0) => NEW_MATRIX.0.to_owned(),
            (None, _) => {
                let known = matrices().collect::<Vec<_>>().join(", ");
                let what = format!("the model has several matrices, --name says which: {known}");
                return Err(wrong(what));
            }
        };
        let file = written.matrix(&name).map(|matrix| matrix.file.text.clone());
        let Some(file) = file else {
            check_name(&name)?;
            let near = nearest(&name, matrices());
            if let Some(near) = near.filter(|_| import.name.is_some()) {
                let shown = quoted(&name);
                let what = format!("the model has no matrix `{shown}`; did you mean `{near}`?");
                return Err(wrong(what));
            }
            let file = file_of(&name);
            let table = known(files, &file)?;
            return Ok(Self { name, file, written: Some(written), table });
        };
        let table = known(files, &file)?;
        Ok(Self { name, file, written: Some(written), table })
    }

    pub(super) fn matrix(&self) -> Option<&MatrixSource> {
        self.written.as_ref()?.matrix(&self.name)
    }

    /// What a parameter of the model says, if the text is the name of one.
    pub(super) fn parameter(&self, text: &str) -> Option<bool> {
        self.written.as_ref()?.parameters.get(text).copied()
    }

    /// The headers that this matrix reads of its file, with their indices.
    pub(super) fn fields(&self) -> impl Iterator<Item = (usize, &str)> {
        let columns = self.table.columns.iter().map(|word| word.text.as_str()).enumerate();
        columns.filter(|(_, label)| self.matrix().is_none_or(|matrix| is_read(matrix, label)))
    }

    /// The columns that have every row and stand in no file.
    pub(super) fn whole(&self) -> impl Iterator<Item = &str> {
        self.matrix().into_iter().flat_map(|m| &m.whole).map(|word| word.text.as_str())
    }
}

fn file_of(name: &str) -> String {
    format!("{name}.csv")
}

fn check_name(name: &str) -> Result<(), ImportError> {
    match Name::parse(name) {
        Ok(_) if !name.contains('/') => Ok(()),
        Ok(_) => {
            let what = format!("`{}` names a file too, and has no `/`", quoted(name));
            Err(ImportError::Target(what))
        }
        Err(error) => Err(ImportError::Target(error.to_string())),
    }
}

fn known(files: &SourceFiles, file: &str) -> Result<Table, ImportError> {
    if files.get(file).is_none() {
        return Ok(Table::default());
    }
    Table::of(files, file).ok_or_else(|| {
        let what = format!("`{file}` has problems: mend or remove it first");
        ImportError::Target(what)
    })
}

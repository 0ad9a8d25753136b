//! The files of a model directory as texts. The only file of this layer that reads a disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::limits::{
    MATRIX_FILE_BYTES_MAX, MODEL_DIRECTORY_BYTES_MAX, MODEL_FILE_BYTES_MAX, MODEL_FILES_MAX,
};

/// The name of the file that every model has.
pub const MODEL_FILE: &str = "model.yaml";
/// The name of the file of scenarios.
pub const TESTS_FILE: &str = "tests.yaml";

/// The texts of a model directory by file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFiles(BTreeMap<String, String>);

/// Why a model directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file or directory cannot be opened or read.
    #[error("cannot read `{}`: {error}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is too large to be part of a model.
    #[error("`{}` is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// The most that it may have.
        limit: usize,
    },
    /// A file is not text.
    #[error("`{}` is not UTF-8 text", path.display())]
    NotText {
        /// Which one.
        path: PathBuf,
    },
    /// The files together are too large.
    #[error("the files of `{}` have more than {MODEL_DIRECTORY_BYTES_MAX} bytes together", path.display())]
    TooLargeTogether {
        /// The directory.
        path: PathBuf,
    },
    /// There are more files than a model may have.
    #[error("`{}` has more than {MODEL_FILES_MAX} files", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

impl SourceFiles {
    /// Reads `model.yaml`, `tests.yaml` and every `.csv` file of a directory.
    ///
    /// # Errors
    /// The directory or one of these files cannot be read, is too large or is not UTF-8. A missing
    /// `model.yaml` is an error here; a missing `tests.yaml` is not.
    pub fn read_dir(dir: &Path) -> Result<Self, ReadError> {
        let mut files = Self::default();
        files.insert(MODEL_FILE, read_file(&dir.join(MODEL_FILE))?);
        files.read_beside(dir)?;
        Ok(files)
    }

    /// Reads what there is of a directory that is to become a model: it may be empty, or not there.
    ///
    /// # Errors
    /// As for [`read_dir`](Self::read_dir), but nothing needs to be there.
    pub fn read_present(dir: &Path) -> Result<Self, ReadError> {
        let mut files = Self::default();
        if !dir.exists() {
            return Ok(files);
        }
        let model = dir.join(MODEL_FILE);
        if model.exists() {
            files.insert(MODEL_FILE, read_file(&model)?);
        }
        files.read_beside(dir)?;
        Ok(files)
    }

    /// Reads `tests.yaml` and every `.csv` file.
    fn read_beside(&mut self, dir: &Path) -> Result<(), ReadError> {
        let io_error = |error| ReadError::Io { path: dir.to_owned(), error };
        for entry in fs::read_dir(dir).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_csv = path.extension().is_some_and(|ext| ext == "csv");
            if (is_csv || name == TESTS_FILE) && path.is_file() {
                if self.0.len() >= MODEL_FILES_MAX {
                    return Err(ReadError::TooMany { path: dir.to_owned() });
                }
                self.insert(name, read_file(&path)?);
                let bytes: usize = self.0.values().map(String::len).sum();
                if bytes > MODEL_DIRECTORY_BYTES_MAX {
                    return Err(ReadError::TooLargeTogether { path: dir.to_owned() });
                }
            }
        }
        Ok(())
    }

    /// Adds a file, or replaces the one of this name.
    pub fn insert(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.0.insert(name.into(), text.into());
    }

    /// The text of a file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names, in byte order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for SourceFiles {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(files: I) -> Self {
        Self(files.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
    }
}

/// Reads a file that may be part of a model.
///
/// # Errors
/// It cannot be read, is too large or is not UTF-8.
pub fn read_file(path: &Path) -> Result<String, ReadError> {
    let io_error = |error| ReadError::Io { path: path.to_owned(), error };
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(io_error)?.is_file() {
        let what = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(io_error(what));
    }
    let file = fs::File::open(path).map_err(io_error)?;
    let mut bytes = Vec::new();
    let is_csv = path.extension().is_some_and(|extension| extension == "csv");
    let limit = if is_csv { MATRIX_FILE_BYTES_MAX } else { MODEL_FILE_BYTES_MAX };
    // One byte more than allowed tells a file of the limit from a larger one.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(io_error)?;
    if bytes.len() > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText { path: path.to_owned() })
}

//! A directory of a command's own, gone when the command is. Knows nothing of what lies in it.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::CliError;

/// How many names are tried before it is somebody else's fault.
const TRIES: u32 = 1_000;

/// A fresh directory below the system's temporary one; removed when dropped.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
}

impl Room {
    /// Makes one for this command.
    pub(super) fn new(command: &str) -> Result<Self, CliError> {
        let parent = std::env::temp_dir();
        for number in 0..TRIES {
            let path = parent.join(format!("bailiwick-{command}-{}-{number}", std::process::id()));
            // Never one that is there already: another user could have put it there.
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let what = format!("cannot make `{}`: {error}", path.display());
                    return Err(CliError::Failed(what));
                }
            }
        }
        let what = format!("no free name for a directory in `{}`", parent.display());
        Err(CliError::Failed(what))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and says so if that fails.
    pub(super) fn remove(self) -> Result<(), CliError> {
        std::fs::remove_dir_all(&self.path).map_err(|error| {
            CliError::Failed(format!("cannot remove `{}`: {error}", self.path.display()))
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // After `remove` there is nothing left; on the way out of an error there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

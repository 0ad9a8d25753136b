//! `bailiwick backup` and `bailiwick restore`: a store's directory to another place, and back.

use std::io::Write;
use std::path::PathBuf;

use super::{CliError, Exit};
use crate::store::sled::SledStore;

/// Copy the store of a stopped service to another directory, proved
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick backup --data /var/lib/bailiwick --to /backup/bailiwick-monday

The service that has the store open must be stopped. The store proves itself on a copy first: what is
damaged is refused, and nothing in its directory is changed.")]
pub(super) struct BackupArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR", env = "BAILIWICK_DATA")]
    data: PathBuf,
    /// Where to: a directory that is empty, or not there yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Put a store back from a backup
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick restore --from /backup/bailiwick-monday --data /var/lib/bailiwick --replace

The service must be stopped. The backup proves itself before anything in the directory is touched. What
was committed after the backup is gone, and tokens of it are refused (TOKEN_OTHER_HISTORY).")]
pub(super) struct RestoreArgs {
    /// The backup's directory
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The store's directory: empty, or not there, unless --replace is given
    #[arg(long, value_name = "DIR", env = "BAILIWICK_DATA")]
    data: PathBuf,
    /// Remove the store in the directory for it, whatever state that is in
    #[arg(long)]
    replace: bool,
}

pub(super) fn back_up(args: &BackupArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let copied = SledStore::copy(&args.data, &args.to, false).map_err(CliError::failed)?;
    let (revision, store) = (copied.head.revision.0, copied.store_id);
    writeln!(out, "backed up revision {revision} of store {store} to {}", args.to.display())?;
    Ok(Exit::Done)
}

pub(super) fn restore(args: &RestoreArgs, out: &mut dyn Write) -> Result<Exit, CliError> {
    let copied = SledStore::copy(&args.from, &args.data, args.replace).map_err(CliError::failed)?;
    let (revision, store) = (copied.head.revision.0, copied.store_id);
    writeln!(out, "restored revision {revision} of store {store} in {}", args.data.display())?;
    Ok(Exit::Done)
}

//! `bailiwick export`: the stored tuples as a file that `import` reads back. Complete, or no file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tonic::transport::Channel;

use super::client::{self, ServiceArgs};
use super::console::Stream;
use super::progress::{Progress, counted};
use super::tuple_filter::FilterArgs;
use super::{CliError, Exit, input, render, tuple_form};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::read_tuples_response::Part;
use crate::api::pb::v1::tuple_service_client::TupleServiceClient;
use crate::server::terminated;

/// Print the stored tuples that match as a file; without a filter, all
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick export --scope-type org --format csv
  bailiwick export --out tuples.jsonl

All tuples are of one revision. FILE is there, or replaced, once all of them are
in it and on disk. Exits with 1 if the list is cut short; in a pipe the reader
then has a part of it, which `set -o pipefail` makes a script see.")]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    /// The form; the default is what the file's name says, else jsonl
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file to write instead of the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line
    Jsonl,
    /// With a header
    Csv,
}

impl Format {
    fn of(path: &Path) -> Self {
        match input::Format::of(path) {
            Some(input::Format::Csv) => Self::Csv,
            _ => Self::Jsonl,
        }
    }
}

pub(super) fn run(
    args: Args,
    out: &mut Stream<'_>,
    err: &mut Stream<'_>,
) -> Result<Exit, CliError> {
    let format =
        args.format.unwrap_or_else(|| args.out.as_deref().map_or(Format::Jsonl, Format::of));
    let filter = args.filter.into_wire();
    let progress = Progress::new("tuples", None, args.quiet, err);
    let (exported, what) = match &args.out {
        None => {
            // Beside tuples on the same terminal a bar would be noise.
            let quiet = args.quiet || out.is_terminal();
            let progress = if quiet { Progress::new("tuples", None, true, err) } else { progress };
            (export(&args.service, filter, format, out, progress, err)?, "exported".to_owned())
        }
        Some(path) => {
            let mut file = NewFile::create(path)?;
            let exported = export(&args.service, filter, format, &mut file, progress, err)?;
            file.keep()?;
            (exported, format!("written to `{}`", path.display()))
        }
    };
    if !args.quiet {
        let Exported { count, revision } = exported;
        writeln!(err, "{} of revision {revision} {what}", counted(count, "tuple"))?;
    }
    Ok(Exit::Done)
}

/// What a complete list held.
struct Exported {
    count: u64,
    revision: u64,
}

fn export(
    service: &ServiceArgs,
    filter: pb::TupleFilter,
    format: Format,
    to: &mut dyn Write,
    mut progress: Progress,
    err: &mut Stream<'_>,
) -> Result<Exported, CliError> {
    let exported = client::block_on(async {
        let stopped = terminated().map_err(CliError::failed)?;
        let channel = service.connect().await?;
        tokio::select! {
            exported = copy(service, channel, filter, format, to, &mut progress, err) => exported,
            () = stopped => Err(CliError::Failed("interrupted; the export is not complete".to_owned())),
        }
    });
    progress.end();
    exported
}

async fn copy(
    service: &ServiceArgs,
    channel: Channel,
    filter: pb::TupleFilter,
    format: Format,
    to: &mut dyn Write,
    progress: &mut Progress,
    err: &mut Stream<'_>,
) -> Result<Exported, CliError> {
    let refused = |status| CliError::Failed(client::describe(&status));
    let request =
        pb::ReadTuplesRequest { filter: Some(filter), ..pb::ReadTuplesRequest::default() };
    let mut client = TupleServiceClient::new(channel);
    let opened = async { client.read_tuples(request).await.map_err(refused) };
    let mut stream = service.within(opened).await?.into_inner();
    let mut printer = Printer::new(format, to)?;
    let mut count = 0_u64;
    loop {
        let next = async { stream.message().await.map_err(refused) };
        let cut_short = |error: CliError| {
            let what = format!("the list is cut short after {}: {error}", counted(count, "tuple"));
            CliError::Failed(format!("{what}; export again"))
        };
        match service.within(next).await.map_err(cut_short)?.map(|message| message.part) {
            Some(Some(Part::Tuple(entry))) => {
                printer.print(&entry.tuple.unwrap_or_default())?;
                count += 1;
                if count.is_multiple_of(1_000) {
                    progress.set(count, 0, err)?;
                }
            }
            Some(Some(Part::Complete(end))) if end.count == count => {
                printer.end()?;
                return Ok(Exported { count, revision: end.revision });
            }
            Some(Some(Part::Complete(end))) => {
                let what = format!("the service sent {count} tuples of {}", end.count);
                return Err(CliError::Failed(format!("{what}; export again")));
            }
            Some(None) => {
                let what = "the service sent a part of the list that this version does not know";
                return Err(CliError::Failed(format!("{what}; use the service's own version")));
            }
            None => {
                let what = "the list ended without its end mark";
                return Err(cut_short(CliError::Failed(what.to_owned())));
            }
        }
    }
}

/// Prints tuples one after the other.
enum Printer<'w> {
    Jsonl(&'w mut dyn Write),
    Csv(Box<csv::Writer<&'w mut dyn Write>>),
}

impl<'w> Printer<'w> {
    fn new(format: Format, to: &'w mut dyn Write) -> Result<Self, CliError> {
        Ok(match format {
            Format::Jsonl => Self::Jsonl(to),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(to);
                writer.write_record(tuple_form::COLUMNS).map_err(render::csv_failed)?;
                Self::Csv(Box::new(writer))
            }
        })
    }

    fn print(&mut self, tuple: &pb::Tuple) -> Result<(), CliError> {
        match self {
            Self::Jsonl(to) => writeln!(to, "{}", render::tuple_json(tuple)?)?,
            Self::Csv(writer) => {
                let fields = tuple_form::csv_fields(tuple)?;
                writer.write_record(fields).map_err(render::csv_failed)?;
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), CliError> {
        match self {
            Self::Jsonl(to) => to.flush()?,
            Self::Csv(mut writer) => writer.flush()?,
        }
        Ok(())
    }
}

/// A file that is there under its name only once it is whole. Dropped before, it is gone.
pub(super) struct NewFile {
    path: PathBuf,
    part: PathBuf,
    to: BufWriter<File>,
    is_kept: bool,
}

impl NewFile {
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let wrong = |path: &Path, error: io::Error| {
            CliError::Failed(format!("cannot write `{}`: {error}", path.display()))
        };
        // Through a symbolic link the file that it names is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let old = match fs::metadata(&path) {
            Ok(old) if !old.is_file() => {
                let what = "it is no file; leave out --out for the standard output";
                return Err(CliError::Failed(format!("cannot write `{}`: {what}", path.display())));
            }
            old => old.ok(),
        };
        let Some(name) = path.file_name() else {
            return Err(wrong(&path, io::ErrorKind::InvalidInput.into()));
        };
        let mut part = std::ffi::OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(part);
        let file = File::create_new(&part).map_err(|error| wrong(&part, error))?;
        let new = Self { path, part, to: BufWriter::new(file), is_kept: false };
        // Whoever may not read the old one may not read the new one.
        if let Some(old) = old {
            let set = new.to.get_ref().set_permissions(old.permissions());
            set.map_err(|error| wrong(&new.part, error))?;
        }
        Ok(new)
    }

    /// Gives it its name, once it is on disk.
    pub(super) fn keep(mut self) -> Result<(), CliError> {
        self.to.flush()?;
        self.to.get_ref().sync_all()?;
        fs::rename(&self.part, &self.path)?;
        self.is_kept = true;
        // The name is on disk once its directory is.
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // On the way out of an error, which is what will be told.
            let _ = fs::remove_file(&self.part);
        }
    }
}

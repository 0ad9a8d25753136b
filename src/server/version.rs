//! Which version of a model directory there is, and whether a watched one may be proposed. Knows no
//! service and proposes nothing.
//!
//! Files that are copied one by one are, in between, a model that nobody wrote: a role table of tomorrow
//! beside the gates of today can allow what neither version allows, and a copy may pause for any time. So
//! only what is swapped in one step is taken unasked: a link that leads to another directory, as the
//! volume of a ConfigMap has it. Whoever changes a directory in place says when it is whole (SIGHUP).

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::{MODEL_FILE, ReadError, SourceFiles};

/// The link of a ConfigMap's volume: its target holds the files and is swapped as one.
const VOLUME_LINK: &str = "..data";

/// What a directory holds, told apart from anything else that it may hold.
type Fingerprint = [u8; 32];

pub(super) type Content = Result<SourceFiles, ReadError>;

/// A version of a model directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Where links led to it. `None`: no link led there.
    target: Option<PathBuf>,
    content: Fingerprint,
}

impl Version {
    /// Whether its files lie in the directory itself, where nothing tells when they are whole.
    pub(super) fn is_plain(&self) -> bool {
        self.target.is_none()
    }
}

/// Reads a directory, every file of it behind the same links: a swap in the midst mixes nothing. Blocks.
pub(super) fn read(dir: &Path) -> (Version, Content) {
    let (target, content) = match resolve(dir) {
        Ok((real, is_linked)) => (is_linked.then(|| real.clone()), SourceFiles::read_dir(&real)),
        Err(error) => (None, Err(ReadError::Io { path: dir.join(MODEL_FILE), error })),
    };
    let mut hash = Sha256::new();
    let mut field = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    match &content {
        Ok(files) => files.names().for_each(|name| {
            field(name);
            field(files.get(name).unwrap_or_default());
        }),
        Err(error) => field(&error.to_string()),
    }
    (Version { target, content: hash.finalize().into() }, content)
}

/// The directory that the files are in, and whether links lead to it.
fn resolve(dir: &Path) -> io::Result<(PathBuf, bool)> {
    let link = dir.join(VOLUME_LINK);
    if link.is_symlink() {
        return Ok((link.canonicalize()?, true));
    }
    let real = dir.canonicalize()?;
    let is_linked = real != std::path::absolute(dir)?;
    Ok((real, is_linked))
}

/// What a look at a watched directory asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is as it was, or has not come to rest.
    Nothing,
    /// Links lead to another version.
    Propose,
    /// It has changed, and nothing says that it is whole; said once of each content.
    Hold,
}

/// What was seen of a directory that is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<Version>,
    held: Option<Version>,
}

impl Watch {
    /// Judges a look. Only what two looks in a row have found alike counts.
    pub(super) fn look(&mut self, found: &Version, proposed: Option<&Version>) -> Step {
        let Some(proposed) = proposed else { return Step::Nothing };
        let is_settled = self.last.replace(found.clone()).as_ref() == Some(found);
        if !is_settled || found == proposed {
            return Step::Nothing;
        }
        match (&found.target, &proposed.target) {
            (Some(now), Some(before)) if now != before => Step::Propose,
            _ if self.held.replace(found.clone()).as_ref() == Some(found) => Step::Nothing,
            _ => Step::Hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn version(target: Option<&str>, content: u8) -> Version {
        Version { target: target.map(PathBuf::from), content: [content; 32] }
    }

    /// What each look asks for; what is proposed counts as such.
    fn steps(start: &Version, looks: &[Version]) -> Vec<Step> {
        let (mut watch, mut proposed) = (Watch::default(), start.clone());
        let look = |found: &Version| {
            let step = watch.look(found, Some(&proposed));
            if step == Step::Propose {
                proposed = found.clone();
            }
            step
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_version_is_proposed_once_links_lead_to_it_and_it_has_come_to_rest() {
        use Step::{Nothing, Propose};
        let [a, b, half] =
            [(Some("a"), 1), (Some("b"), 2), (Some("b"), 3)].map(|(t, c)| version(t, c));
        let looks = [&a, &a, &half, &b, &b, &b, &a, &b, &a, &a].map(Clone::clone);
        let expected = [
            Nothing, Nothing, Nothing, Nothing, Propose, Nothing, Nothing, Nothing, Nothing,
            Propose,
        ];
        assert_eq!(steps(&a, &looks), expected);
        // The same content under another name is a version too: what is changed in it later is held.
        let renamed = version(Some("c"), 1);
        assert_eq!(steps(&a, &[renamed.clone(), renamed]), [Nothing, Propose]);
    }

    #[test]
    fn what_changes_without_a_link_is_held_and_said_once() {
        use Step::{Hold, Nothing};
        for target in [None, Some("a")] {
            let [old, half, new] = [1, 2, 3].map(|content| version(target, content));
            let looks = [&half, &half, &half, &new, &new, &new, &old, &old].map(Clone::clone);
            let expected = [Nothing, Hold, Nothing, Nothing, Hold, Nothing, Nothing, Nothing];
            assert_eq!(steps(&old, &looks), expected, "{target:?}");
        }
        // A link that is gone, and a directory in its place, are no swap; nor is what comes after.
        let (linked, plain) = (version(Some("a"), 1), version(None, 2));
        assert_eq!(steps(&linked, &[plain.clone(), plain.clone()]), [Nothing, Hold]);
        assert_eq!(steps(&plain, &[linked.clone(), linked]), [Nothing, Hold]);
    }

    #[test]
    fn what_differs_has_another_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let content = || read(dir.path()).0.content;
        let mut seen = vec![content()];
        let mut step = |name, text| {
            fs::write(path(name), text).unwrap();
            let found = content();
            assert!(!seen.contains(&found), "{name}: {text}");
            seen.push(found);
        };
        step("model.yaml", "model: a");
        step("model.yaml", "model: b");
        step("a.csv", "");
        step("a.csv", "x");
        step("b.csv", "x");
        step("model.yaml", "model: ab");
        fs::write(path("ignored.txt"), "x").unwrap();
        assert_eq!(seen.last(), Some(&content()));
        fs::write(path("model.yaml"), [0xff]).unwrap();
        assert!(!seen.contains(&content()));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("model.yaml")).status();
        assert!(made.unwrap().success());
        let (_, content) = read(dir.path());
        assert!(content.unwrap_err().to_string().ends_with("it is not a regular file"));
    }

    #[test]
    fn links_are_followed_to_the_directory_that_holds_the_files() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        for name in ["one", "two"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join("model.yaml"), "model: m").unwrap();
        }
        let target = |dir: &Path| read(dir).0.target;
        assert_eq!(target(&root.join("one")), None);
        let link = root.join("link");
        symlink("one", &link).unwrap();
        assert_eq!(target(&link), Some(root.join("one")));
        let above = root.join("above");
        symlink(&root, &above).unwrap();
        assert_eq!(target(&above.join("two")), Some(root.join("two")));
        let volume = root.join("volume");
        fs::create_dir(&volume).unwrap();
        symlink("../two", volume.join(VOLUME_LINK)).unwrap();
        assert_eq!(target(&volume), Some(root.join("two")));
        fs::remove_dir_all(root.join("two")).unwrap();
        let (version, content) = read(&volume);
        assert!(version.is_plain() && content.is_err(), "{content:?}");
    }
}

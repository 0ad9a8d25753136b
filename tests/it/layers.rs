//! Guards the layers: a file imports lower layers and its own module only.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate and their layers, as in ARCHITECTURE.md.
const LAYERS: [(&str, u8); 10] = [
    ("model", 0),
    ("store", 1),
    ("index", 1),
    ("config", 1),
    ("telemetry", 1),
    ("engine", 2),
    ("pdp", 3),
    ("api", 4),
    ("server", 5),
    ("cli", 6),
];

fn layer_of(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a file's text names as `crate::module`, also within `use crate::{a, b}`.
fn imports(text: &str) -> Vec<String> {
    let ident = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut found: Vec<String> = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push(ident(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut item_starts = true;
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => item_starts = true,
                        c if item_starts && !c.is_whitespace() => {
                            found.push(ident(&group[i..]));
                            item_starts = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn violation(module: &str, text: &str) -> Option<String> {
    let own = layer_of(module)?;
    imports(text)
        .into_iter()
        .find(|name| name != module && layer_of(name).is_none_or(|layer| layer >= own))
}

#[test]
fn imports_never_run_upwards() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 10, "the walk found {} files", files.len());
    for path in files {
        let relative = path.strip_prefix(&src).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "lib" | "main") {
            continue;
        }
        assert!(layer_of(module).is_some(), "{} is in no layer: add it", relative.display());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not say its one job at its top", path.display());
        if let Some(name) = violation(module, &text) {
            panic!("{} (layer of `{module}`) imports `crate::{name}`", relative.display());
        }
    }
}

#[test]
fn the_guard_sees_upward_imports() {
    assert_eq!(violation("model", "use crate::store::Store;").as_deref(), Some("store"));
    assert_eq!(violation("store", "use crate::index::Snapshot;").as_deref(), Some("index"));
    assert_eq!(
        violation("engine", "use crate::{model::names::Name, pdp};").as_deref(),
        Some("pdp")
    );
    assert_eq!(violation("api", "fn f() -> crate::cli::X {}").as_deref(), Some("cli"));
    assert_eq!(violation("pdp", "use crate::{store::{Store, Head}, engine, pdp::Pdp};"), None);
}

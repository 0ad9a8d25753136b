//! Reading a model directory: which files count, and which are refused.

use std::fs;

use bailiwick::model::SourceFiles;
use bailiwick::model::limits::{
    MATRIX_FILE_BYTES_MAX, MODEL_DIRECTORY_BYTES_MAX, MODEL_FILE_BYTES_MAX, MODEL_FILES_MAX,
};

use super::support::problems;

#[test]
fn the_model_its_tests_and_its_matrices_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.yaml", "tests.yaml", "a.csv", "b.csv", "notes.md", "other.yaml"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::create_dir(dir.path().join("dir.csv")).unwrap();
    let files = SourceFiles::read_dir(dir.path()).unwrap();
    assert_eq!(files.names().collect::<Vec<_>>(), ["a.csv", "b.csv", "model.yaml", "tests.yaml"]);
    assert_eq!(files.get("a.csv"), Some("a.csv"));
}

#[test]
fn what_cannot_be_a_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = || SourceFiles::read_dir(dir.path()).unwrap_err().to_string();
    let path = |name: &str| dir.path().join(name);
    assert!(refusal().starts_with("cannot read `"), "{}", refusal());
    fs::write(path("model.yaml"), b"model: \xff").unwrap();
    assert_eq!(refusal(), format!("`{}` is not UTF-8 text", path("model.yaml").display()));
    fs::write(path("model.yaml"), " ".repeat(MODEL_FILE_BYTES_MAX + 1)).unwrap();
    let too_large = format!("`{}` is larger than 4194304 bytes", path("model.yaml").display());
    assert_eq!(refusal(), too_large);
    fs::write(path("model.yaml"), " ".repeat(MODEL_FILE_BYTES_MAX)).unwrap();
    assert!(SourceFiles::read_dir(dir.path()).is_ok());
    for i in 0..MODEL_FILES_MAX {
        fs::write(path(&format!("{i}.csv")), "").unwrap();
    }
    assert_eq!(refusal(), format!("`{}` has more than 256 files", dir.path().display()));
}

#[test]
fn a_matrix_may_be_larger_than_other_files_but_not_all_of_them_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let refusal = || SourceFiles::read_dir(dir.path()).unwrap_err().to_string();
    fs::write(path("model.yaml"), "").unwrap();
    fs::write(path("0.csv"), " ".repeat(MATRIX_FILE_BYTES_MAX + 1)).unwrap();
    let larger = format!("is larger than {MATRIX_FILE_BYTES_MAX} bytes");
    assert_eq!(refusal(), format!("`{}` {larger}", path("0.csv").display()));
    let largest = " ".repeat(MATRIX_FILE_BYTES_MAX);
    let fit = MODEL_DIRECTORY_BYTES_MAX / MATRIX_FILE_BYTES_MAX;
    for i in 0..fit {
        fs::write(path(&format!("{i}.csv")), &largest).unwrap();
    }
    assert!(SourceFiles::read_dir(dir.path()).is_ok());
    fs::write(path("last.csv"), &largest).unwrap();
    let words = format!("have more than {MODEL_DIRECTORY_BYTES_MAX} bytes together");
    assert_eq!(refusal(), format!("the files of `{}` {words}", dir.path().display()));
    let yaml = "model: m
types: { user: {}, org: {} }
matrices: [ { name: m, file: m.csv, at: [org] } ]
";
    assert_eq!(problems(yaml, &format!("{largest} ")), format!("m.csv:1:1: the file {larger}"));
}

#[test]
fn a_directory_without_a_model_is_a_problem() {
    let found = bailiwick::model::load(&SourceFiles::default(), &Default::default());
    assert_eq!(found.unwrap_err().to_string(), "model.yaml:1:1: there is no file `model.yaml`");
    let large = " ".repeat(MODEL_FILE_BYTES_MAX + 1);
    assert_eq!(problems(&large, ""), "model.yaml:1:1: the file is larger than 4194304 bytes");
}

#[test]
fn a_spreadsheet_with_other_separators_is_told_so() {
    let yaml = "model: m
types: { user: {}, org: {} }
matrices: [ { name: m, file: m.csv, at: [org] } ]
";
    assert_eq!(
        problems(yaml, "permission;admin\nview;1\n"),
        "m.csv:1:1: the header has no column `permission`: fields are separated by commas"
    );
}

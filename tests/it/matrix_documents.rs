//! A matrix as a document: what is printed can be read again, and nothing that a text holds leaves its cell.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use bailiwick::model::document::{Document, Format};
use bailiwick::model::import::{Import, Imported, import};
use bailiwick::model::{SourceFiles, load};

const MODEL: &str = "model: m
parameters: { strict: true, loose: false }
types: { user: {}, org: {}, site: { parents: [org] } }
facts: { org: { sets: [module], flags: [paid, old] } }
roles: [ { at: [org], names: [admin, boss, clerk, guest], gates: { clerk: fact(paid) } } ]
asked: [ { rows: \"*\", gate: \"yes except fact(old)\" } ]
matrices:
  - name: m
    file: m.csv
    at: [org, site]
    bound: org
    gate: \"yes except fact(old)\"
    whole_matrix: [boss]
    columns: { \"Head & <clerk>\": clerk@org }
    cells: { fixed.row: { admin: strict, guest: loose } }
";

fn files(matrix: &str) -> SourceFiles {
    [("model.yaml", MODEL), ("m.csv", matrix)].into_iter().collect()
}

fn document(files: &SourceFiles, name: &str) -> Document {
    Document::of(files, name).expect("a matrix")
}

#[track_caller]
fn imported(files: &SourceFiles, file: &str, text: &str) -> Imported {
    import(files, &Import { file, text, model: "m", ..Import::default() })
        .unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

const SMALL: &str = "\
section,permission,label,admin,\"Head & <clerk>\",guest,gate
,a.b,,x,-,strict,
users,fixed.row,\"say | \"\"it\"\"\",-,x,x,paid
\"<b>\",c.d,\"two
lines\",x,-,-,module:x or paid
";

#[test]
fn each_form_says_what_the_matrix_file_says() {
    let document = document(&files(SMALL), "m");
    assert_eq!(document.columns, ["boss", "admin", "Head & <clerk>", "guest"]);
    assert_eq!(document.granted(), 8);
    let csv = document.render(Format::Csv);
    assert_eq!(
        csv,
        "section,permission,label,boss,admin,Head & <clerk>,guest,gate
,a.b,,x,x,-,x,
users,fixed.row,\"say | \"\"it\"\"\",x,x,x,-,paid
<b>,c.d,\"two
lines\",x,x,-,-,module:x or paid
"
    );
    let markdown = document.render(Format::Markdown);
    assert_eq!(
        markdown,
        "| permission | label | boss | admin | Head \\& \\<clerk\\> | guest | gate |
| --- | --- | --- | --- | --- | --- | --- |
| a.b | | ✓ | ✓ | - | ✓ | |
| **users** | | | | | | |
| fixed.row | say \\| \"it\" | ✓ | ✓ | ✓ | - | paid |
| **\\<b\\>** | | | | | | |
| c.d | two<br>lines | ✓ | ✓ | - | - | module:x or paid |

Every cell counts only if: yes except fact(old)

Head \\& \\<clerk\\> counts only if: fact(paid)

Asked at the scope, for \\*: yes except fact(old)
"
    );
    let html = document.render(Format::Html);
    for part in [
        "<th scope=\"col\">Head &amp; &lt;clerk&gt;</th>",
        "<tr><th scope=\"rowgroup\" colspan=\"7\">&lt;b&gt;</th></tr>",
        "<tr><th scope=\"row\">fixed.row</th><td>say | &quot;it&quot;</td><td>yes</td>",
        "<td>two<br>lines</td>",
        "<br>\nEvery cell counts only if: yes except fact(old)",
    ] {
        assert!(html.contains(part), "no {part} in {html}");
    }
    for hostile in ["<b>", "<clerk>", "<script", "style", "href"] {
        assert!(!html.contains(hostile), "{hostile} in {html}");
    }
}

#[test]
fn a_label_may_read_like_a_legend() {
    let matrix = "permission,label,admin,guest\na.b,x- View,x,-\nfixed.row,x = no,-,x\n";
    assert_fixpoint(&files(matrix), "m");
}

#[test]
fn gates_of_cells_take_the_long_form() {
    let matrix = "permission,role,gate\na.b,admin,paid\na.b,guest,\nfixed.row,guest,module:x\n";
    let held = files(matrix);
    let document = document(&held, "m");
    let csv = document.render(Format::Csv);
    assert!(
        csv.starts_with(
            "section,permission,role,gate\n,a.b,boss,paid\n,a.b,admin,paid\n,a.b,guest,\n"
        ),
        "{csv}"
    );
    let again = imported(&held, "m.csv", &csv);
    assert_eq!((&again.files, &again.unread), (&vec![], &vec![]), "{csv}");
    assert!(document.render(Format::Markdown).contains("| ✓ if paid |"));
}

fn read(dir: &str) -> SourceFiles {
    SourceFiles::read_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(dir)).unwrap()
}

/// Whatever is exported changes nothing when it is imported.
#[track_caller]
fn assert_fixpoint(files: &SourceFiles, name: &str) {
    let document = document(files, name);
    for (file, format) in [("m.csv", Format::Csv), ("m.md", Format::Markdown)] {
        let text = document.render(format);
        let options = Import { file, text: &text, name: Some(name), ..Import::default() };
        let again = import(files, &options).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        assert_eq!((again.files, again.unread), (vec![], vec![]), "{text}");
        assert!(again.granted.is_empty() && again.withdrawn.is_empty(), "{text}");
    }
}

#[test]
fn an_export_of_each_platform_changes_nothing() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut matrices = 0;
    for entry in std::fs::read_dir(models).unwrap() {
        let files = read(entry.unwrap().file_name().to_str().unwrap());
        for matrix in &load(&files, &BTreeMap::new()).unwrap().matrices {
            assert_fixpoint(&files, &matrix.name);
            matrices += 1;
        }
    }
    assert!(matrices >= 2);
    // One whose file needs nothing beside it is its own export.
    let files = read("energyhub");
    let csv = document(&files, "roles").render(Format::Csv);
    assert_eq!(Some(csv.as_str()), files.get("permissions.csv"));
}

const PIECES: [&str; 24] = [
    "a", "View", " ", "|", "\\", "\"", ",", ";", "\n", "<b>", "&amp;", "*", "**", "_", "`",
    "[x](y)", "é", "利", "✓", "x", "-", "#", "<br>", "\\|",
];

fn text(random: &mut fastrand::Rng) -> String {
    let count = random.usize(0..6);
    let text: String = (0..count).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
    text.trim().to_owned()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A matrix file with whatever people may write where they may write it.
fn random_matrix(random: &mut fastrand::Rng) -> String {
    let mut csv = "section,permission,label,admin,\"Head & <clerk>\",guest,gate\n".to_owned();
    let gates = ["", "", "paid", "module:x & paid", "module:y or (paid except old)"];
    let cells = ["x", "-", "", "1", "0", "yes", "no", "strict", "loose"];
    let rows = random.usize(1..20);
    let fixed = random.usize(..rows);
    let mut section = String::new();
    for row in 0..rows {
        if random.bool() {
            section = text(random);
        }
        let name = if row == fixed { "fixed.row".to_owned() } else { format!("p{row}.q") };
        let cells: Vec<&str> = (0..3).map(|_| cells[random.usize(..cells.len())]).collect();
        let (label, gate) = (text(random), gates[random.usize(..gates.len())]);
        csv +=
            &format!("{},{name},{},{},{gate}\n", quoted(&section), quoted(&label), cells.join(","));
    }
    csv
}

#[test]
fn an_export_of_any_matrix_changes_nothing() {
    let seed = std::env::var("BAILIWICK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    writeln!(std::io::stderr(), "BAILIWICK_SEED={seed}").unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..60 {
        let matrix = random_matrix(&mut random);
        let files = files(&matrix);
        load(&files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}\n{matrix}"));
        assert_fixpoint(&files, "m");
    }
}

/// A table of a product team: labels of any kind, each row another.
fn random_table(random: &mut fastrand::Rng) -> String {
    let header: Vec<String> =
        (0..random.usize(1..5)).map(|i| format!("R{i} {}", text(random))).collect();
    let header: Vec<String> = header.iter().map(|header| quoted(header.trim())).collect();
    let mut csv = format!("Area,What,{}\n", header.join(","));
    for row in 0..random.usize(1..15) {
        let area = if random.bool() { format!("S {}", text(random)) } else { String::new() };
        let marks: Vec<&str> = header.iter().map(|_| ["✓", "-", ""][random.usize(..3)]).collect();
        csv += &format!(
            "{},{},{}\n",
            quoted(&area),
            quoted(&format!("L{row} {}", text(random))),
            marks.join(",")
        );
    }
    csv
}

#[test]
fn any_table_makes_a_model_and_its_export_changes_nothing() {
    let seed = std::env::var("BAILIWICK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    writeln!(std::io::stderr(), "BAILIWICK_SEED={seed}").unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..60 {
        let table = random_table(&mut random);
        let first = imported(&SourceFiles::default(), "t.csv", &table);
        assert_eq!(first.unread, [], "{table}");
        let ticks = table.matches("✓,").count() + table.matches("✓\n").count();
        let files: SourceFiles = first.files.iter().cloned().collect();
        let problems = load(&files, &BTreeMap::new()).map(|_| ()).map_err(|p| p.to_string());
        assert_eq!(problems, Ok(()), "{table}\n{}", files.get("permissions.csv").unwrap());
        let document = document(&files, "roles");
        assert!(document.granted() <= ticks, "{table}");
        assert_fixpoint(&files, "roles");
        // The table again changes nothing, and its export elsewhere makes the same file.
        assert_eq!(imported(&files, "t.csv", &table).files, [], "{table}");
        let csv = document.render(Format::Csv);
        let elsewhere = imported(&SourceFiles::default(), "t.csv", &csv);
        assert_eq!(elsewhere.files[0].1, csv, "{table}");
    }
}

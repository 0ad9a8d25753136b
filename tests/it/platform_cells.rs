//! Holds the platforms' models to the tables they were copied from: every row, cell and gate, in order.
//! `golden/*.txt` is the copy: a line of column names, then slug, a bit per column, gate or `-`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bailiwick::model::form::{Cell, Model};
use bailiwick::model::{self, SourceFiles};

const PLATFORMS: [(&str, &str, usize, usize); 2] = [
    ("energyhub", include_str!("golden/energyhub.txt"), 45, 195),
    ("virta", include_str!("golden/virta.txt"), 87, 367),
];

fn files(platform: &str) -> SourceFiles {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(platform);
    SourceFiles::read_dir(&dir).unwrap()
}

fn compiled(files: &SourceFiles) -> Model {
    model::load(files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The model's one matrix in the form of the golden files.
fn printed(model: &Model) -> String {
    let [matrix] = model.matrices.as_slice() else { panic!("expected one matrix") };
    let labels: Vec<&str> = matrix.columns.iter().map(|column| column.label.as_str()).collect();
    let mut text = format!("columns {}\n", labels.join(" "));
    for row in &matrix.rows {
        let bit = |cell: &Cell| if *cell == Cell::No { '0' } else { '1' };
        let bits: String = row.cells.iter().map(bit).collect();
        let gate = |cell: &Cell| match cell {
            Cell::No => None,
            Cell::Yes => Some("-".to_owned()),
            Cell::If(gate) => Some(gate.clone()),
        };
        let gates: BTreeSet<String> = row.cells.iter().filter_map(gate).collect();
        let gates: Vec<String> = gates.into_iter().collect();
        text += &format!("{} {bits} {}\n", model.name_of(row.permission), gates.join(" / "));
    }
    text
}

fn first_difference<'t>(golden: &'t str, printed: &'t str) -> Option<(&'t str, &'t str)> {
    let longest = golden.lines().count().max(printed.lines().count());
    let line = |text: &'t str, i| text.lines().nth(i).unwrap_or("nothing");
    (0..longest).map(|i| (line(golden, i), line(printed, i))).find(|(a, b)| a != b)
}

#[test]
fn each_model_has_the_cells_of_its_table() {
    for (platform, golden, rows, granted) in PLATFORMS {
        let printed = printed(&compiled(&files(platform)));
        assert_eq!(first_difference(golden, &printed), None, "{platform}: golden, then model");
        assert_eq!(golden.lines().count(), 1 + rows, "{platform}");
        let bits = golden.lines().skip(1).filter_map(|line| line.split(' ').nth(1));
        assert_eq!(bits.flat_map(str::chars).filter(|c| *c == '1').count(), granted, "{platform}");
    }
}

/// In a column that both platforms have and no parameter decides.
#[test]
fn a_flipped_cell_is_seen_in_every_row() {
    for (platform, golden, ..) in PLATFORMS {
        let mut files = files(platform);
        let table = files.get("permissions.csv").unwrap().to_owned();
        let lines: Vec<&str> = table.lines().collect();
        let column = lines[0].split(',').position(|header| header == "technician").unwrap();
        for i in 1..lines.len() {
            let mut fields: Vec<&str> = lines[i].split(',').collect();
            fields[column] = if fields[column] == "x" { "-" } else { "x" };
            let flipped = fields.join(",");
            let mut changed = lines.clone();
            changed[i] = &flipped;
            files.insert("permissions.csv", changed.join("\n"));
            let printed = printed(&compiled(&files));
            let (_, line) = first_difference(golden, &printed).expect(&flipped);
            assert!(line.starts_with(fields[1]), "{line}: after {flipped}");
        }
    }
}

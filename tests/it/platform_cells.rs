//! Holds the platforms' models to the tables they were copied from: every row, cell and gate, in order.
//! `golden/*.txt` is the copy: a line of column names, then slug, a bit per column, gate or `-`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bailiwick::model::form::{Cell, Model, NameId, Row, TypeId};
use bailiwick::model::{self, SourceFiles};

/// A table of a platform: its model, matrix and file, the copy, and how many rows and granted cells it has.
struct Platform {
    model: &'static str,
    matrix: &'static str,
    file: &'static str,
    golden: &'static str,
    rows: usize,
    granted: usize,
}

const PLATFORMS: [Platform; 6] = [
    Platform {
        model: "powerhub",
        matrix: "roles",
        file: "permissions.csv",
        golden: include_str!("golden/powerhub.txt"),
        rows: 7,
        granted: 13,
    },
    Platform {
        model: "energyhub",
        matrix: "roles",
        file: "permissions.csv",
        golden: include_str!("golden/energyhub.txt"),
        rows: 45,
        granted: 195,
    },
    Platform {
        model: "chargeplatform",
        matrix: "tenant",
        file: "tenant.csv",
        golden: include_str!("golden/chargeplatform_tenant.txt"),
        rows: 75,
        granted: 187,
    },
    Platform {
        model: "chargeplatform",
        matrix: "account",
        file: "account.csv",
        golden: include_str!("golden/chargeplatform_account.txt"),
        rows: 42,
        granted: 133,
    },
    Platform {
        model: "zaptec",
        matrix: "roles",
        file: "permissions.csv",
        golden: include_str!("golden/zaptec.txt"),
        rows: 23,
        granted: 32,
    },
    Platform {
        model: "virta",
        matrix: "roles",
        file: "permissions.csv",
        golden: include_str!("golden/virta.txt"),
        rows: 87,
        granted: 367,
    },
];

fn files(platform: &str) -> SourceFiles {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(platform);
    SourceFiles::read_dir(&dir).unwrap()
}

fn compiled(files: &SourceFiles) -> Model {
    model::load(files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A matrix in the form of the golden files.
fn printed(model: &Model, matrix: &str) -> String {
    let matrix = model.matrices.iter().find(|m| m.name == matrix).unwrap();
    let labels: Vec<&str> = matrix.columns.iter().map(|column| column.label.as_str()).collect();
    let mut text = format!("columns {}\n", labels.join(" "));
    for row in &matrix.rows {
        let bit = |cell: &Cell| if *cell == Cell::No { '0' } else { '1' };
        let bits: String = row.cells.iter().map(bit).collect();
        let gate = |cell: &Cell| match cell {
            Cell::No => None,
            Cell::Yes => Some("-".to_owned()),
            Cell::If(gate) => Some(gate.to_string()),
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
    for Platform { model, matrix, golden, rows, granted, .. } in &PLATFORMS {
        let printed = printed(&compiled(&files(model)), matrix);
        assert_eq!(first_difference(golden, &printed), None, "{model}: golden, then model");
        assert_eq!(golden.lines().count(), 1 + rows, "{model}");
        let bits = golden.lines().skip(1).filter_map(|line| line.split(' ').nth(1));
        assert_eq!(bits.flat_map(str::chars).filter(|c| *c == '1').count(), *granted, "{model}");
    }
}

/// On Go each role of an installation has what the same role has on a charger: four cells more (ZA-03).
#[test]
fn a_product_adds_its_cells() {
    let model = compiled(&files("zaptec"));
    let of = |name: &str| {
        let matrix = model.matrices.iter().find(|matrix| matrix.name == name).unwrap();
        let cells = |row: &Row| -> Vec<(NameId, TypeId, NameId)> {
            let given =
                row.cells.iter().zip(&matrix.columns).filter(|(cell, _)| **cell != Cell::No);
            given.map(|(_, column)| (column.role, column.bound, row.permission)).collect()
        };
        matrix.rows.iter().flat_map(cells).collect::<BTreeSet<_>>()
    };
    let (roles, go) = (of("roles"), of("go"));
    assert_eq!((roles.len(), roles.union(&go).count()), (32, 36));
}

/// In a column that no parameter decides.
#[test]
fn a_flipped_cell_is_seen_in_every_row() {
    for Platform { model, matrix, file, golden, .. } in &PLATFORMS {
        let mut files = files(model);
        let table = files.get(file).unwrap().to_owned();
        let lines: Vec<&str> = table.lines().collect();
        let header: Vec<&str> = lines[0].split(',').collect();
        let flippable = ["technician", "viewer", "support_agent", "driver", "charger_user"];
        let column = header.iter().position(|label| flippable.contains(label)).unwrap();
        for i in 1..lines.len() {
            let mut fields: Vec<&str> = lines[i].split(',').collect();
            fields[column] = if fields[column] == "x" { "-" } else { "x" };
            let flipped = fields.join(",");
            let mut changed = lines.clone();
            changed[i] = &flipped;
            files.insert(*file, changed.join("\n"));
            let printed = printed(&compiled(&files), matrix);
            let (_, line) = first_difference(golden, &printed).expect(&flipped);
            assert!(line.starts_with(fields[1]), "{line}: after {flipped}");
        }
    }
}

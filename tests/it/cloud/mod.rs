//! A role list as large as a cloud's, through the whole service: compiled as it is written, cell by cell,
//! put in force, asked over the wire, and found again after a restart.

mod list;
mod whole;

use std::collections::BTreeMap;

use bailiwick::model::document::{Document, Format};
use bailiwick::model::form::{Cell, DefKind, Expr, Model, NameId};
use bailiwick::model::{SourceFiles, load};

use list::List;

fn files(list: &List) -> SourceFiles {
    [("model.yaml", list.yaml()), ("permissions.csv", list.csv())].into_iter().collect()
}

/// Compares each cell of the matrix, and what decides, with the list.
fn assert_compiled(model: &Model, list: &List) {
    let [matrix] = model.matrices.as_slice() else { panic!("one matrix") };
    let role_of = |label: &str| list.roles.iter().position(|role| role == label).unwrap();
    let columns: Vec<usize> = matrix.columns.iter().map(|column| role_of(&column.label)).collect();
    assert_eq!((columns.len(), matrix.rows.len()), (list.roles.len(), list.permissions.len()));
    let scope = model.type_id("scope").unwrap();
    let ids: BTreeMap<NameId, usize> = (0..list.roles.len())
        .map(|role| (model.name_id(&list.roles[role]).unwrap(), role))
        .collect();
    let (mut compared, mut has) = (0, vec![false; list.roles.len()]);
    for ((row, permission), holders) in
        matrix.rows.iter().zip(&list.permissions).zip(list.by_permission())
    {
        assert_eq!(model.name_of(row.permission), permission);
        has.fill(false);
        holders.iter().for_each(|role| has[*role] = true);
        for (cell, role) in row.cells.iter().zip(&columns) {
            assert_eq!(*cell == Cell::Yes, has[*role], "{permission}, {}", list.roles[*role]);
            compared += 1;
        }
        let def = model.def(scope, row.permission).unwrap();
        assert_eq!(def.kind, DefKind::Permission);
        let mut decides: Vec<usize> = roles_here(&def.expr).iter().map(|role| ids[role]).collect();
        decides.sort_unstable();
        assert_eq!(decides, holders, "{permission}");
    }
    assert_eq!(compared, list.roles.len() * list.permissions.len());
}

/// The roles of which one bound at the scope is enough: the form is that or what comes from above.
fn roles_here(expr: &Expr) -> Vec<NameId> {
    match expr {
        Expr::Here(role) => vec![*role],
        Expr::HereAny(roles) => roles.to_vec(),
        Expr::Any(terms) => terms.iter().flat_map(roles_here).collect(),
        Expr::Up { .. } => Vec::new(),
        other => panic!("a permission of roles alone is no {other:?}"),
    }
}

#[test]
fn a_list_of_cloud_size_is_compiled_as_it_is_written() {
    let list = List::cloud();
    assert!((230_000..245_000).contains(&list.cells()), "{}", list.cells());
    let model = load(&files(&list), &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
    assert_compiled(&model, &list);
}

#[test]
fn the_document_of_a_large_list_is_its_long_form_again() {
    // As many cells as make the wide form too large, and few of them granted.
    let list = List::sized(1_000, 1, 2_001);
    let mut files = files(&list);
    let csv = Document::of(&files, "roles").unwrap().render(Format::Csv);
    assert!(csv.starts_with("section,permission,role,gate\n"), "{}", &csv[..100]);
    files.insert("permissions.csv", csv.clone());
    assert_compiled(&load(&files, &BTreeMap::new()).unwrap(), &list);
    assert_eq!(Document::of(&files, "roles").unwrap().render(Format::Csv), csv);
}

#[test]
fn a_small_list_may_be_wide() {
    let list = List::sized(10, 1, 20);
    let csv = Document::of(&files(&list), "roles").unwrap().render(Format::Csv);
    assert_eq!(csv.lines().count(), 21);
}

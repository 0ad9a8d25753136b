//! Role tables as people write them: what is read, what is told, and that no guess grants.

use std::collections::BTreeMap;

use bailiwick::cli::run_scenarios;
use bailiwick::model::document::{Document, Format};
use bailiwick::model::import::{Import, ImportError, Imported, import};
use bailiwick::model::{Reading, SourceFiles, load};

use crate::cli::{assert_exit, bailiwick, run, stderr, stdout};

fn new(file: &str, text: &str) -> Result<Imported, ImportError> {
    import(&SourceFiles::default(), &Import { file, text, model: "m", ..Import::default() })
}

#[track_caller]
fn matrix(file: &str, text: &str) -> (String, Vec<String>) {
    let imported = new(file, text).unwrap_or_else(|error| panic!("{error:?}"));
    let unread = imported.unread.iter().map(ToString::to_string).collect();
    let files: SourceFiles = imported.files.into_iter().collect();
    load(&files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"));
    let report = run_scenarios(&files).unwrap();
    assert!(report.passed > 0 && report.failures.is_empty(), "{report:?}");
    (files.get("permissions.csv").unwrap().to_owned(), unread)
}

#[track_caller]
fn assert_read(file: &str, text: &str, expected: &str) {
    let (csv, unread) = matrix(file, text);
    assert_eq!((csv.as_str(), unread), (expected, vec![]), "{text}");
}

const USERS: &str = "\
section,permission,label,admin,site_manager,gate
Users,users.view_users,View users,x,x,
Users,users.invite_users,Invite users,x,-,
";

#[test]
fn a_table_is_read_in_every_dress() {
    for text in [
        "Section,Permission,Admin,Site Manager\nUsers,View users,x,X\n,Invite users,x,\n",
        "\u{feff}Section;Permission;Admin;Site Manager\r\nUsers;View users;1;1\r\n;\"Invite users\";1;0\r\n",
        "sep=;\nSection;Permission;Admin;Site Manager\nUsers;View users;yes;y\n;Invite users;TRUE;no\n",
        "Area\tWhat\tAdmin\tSite Manager\nUsers\tView users\t✔\u{fe0f}\t✓\n\tInvite users\t☑\t✗\n",
        "What may whom,,\n,Admin,Site Manager\nUsers,,\nView users,■,●\nInvite users,■,–\n",
        "What,Admin,Site Manager\nUsers,Users,Users\nView users,(tick),(tick)\nInvite users,(tick),(cross)\n",
    ] {
        assert_read("t.csv", text, USERS);
    }
    for text in [
        "| | Admin | Site Manager |\n|---|:-:|:-:|\n| **Users** | | |\n| View users | ✅ | ✅ |\n| Invite users | ✅ | ❌ |\n",
        "What | Admin | Site Manager\n--- | --- | ---\nUsers | |\nView users | x | x\nInvite users | `x` | -\n",
        "What | Admin | Site Manager\nUsers | |\nView users | **yes** | :white_check_mark:\nInvite users | [x] | [ ]\n",
    ] {
        assert_read("t.md", text, USERS);
        assert_read("pasted", text, USERS);
    }
}

#[test]
fn a_section_that_reached_over_rows_is_put_right_where_labels_are_counted() {
    let text = "Area | What | Admin | Site Manager |\n---|---|---|---|\nUsers | View users | ■ | ■ |\nInvite users | ■ | - | |\n";
    assert_unread("t.md", text, "--label-columns 2 if not");
    let reading = Reading { label_columns: Some(2), ..Reading::default() };
    let asked = Import { file: "t.md", text, model: "m", reading, ..Import::default() };
    let imported = import(&SourceFiles::default(), &asked).unwrap();
    assert_eq!((imported.files[0].1.as_str(), imported.unread), (USERS, vec![]));
    assert!(imported.notes[0].to_string().contains("as if the one above reached down"));
}

#[test]
fn several_tables_of_a_page_are_sections() {
    let text = "# Roles\n\nWho | may what\n\n## Users\n\n| What | Admin | Driver |\n|---|---|---|\n| View | ✓ | |\n\n\
        Stations\n--------\n| What | Admin | Technician |\n|---|---|---|\n| Reboot \\| reset | ✓ | ✓ |\n\
        ```\n| What | Admin |\n|---|---|\n| No table | ✓ |\n```\n";
    let imported = new("page.md", text).unwrap();
    assert_eq!(
        imported.files[0].1,
        "section,permission,label,admin,driver,technician,gate\n\
         Users,users.view,View,x,-,-,\n\
         Stations,stations.reboot_reset,Reboot | reset,x,-,x,\n"
    );
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.last().unwrap(), "page.md:18:1: a table within a code block is not read");
}

#[test]
fn what_is_no_clear_tick_is_told_and_grants_nothing() {
    let text = "What,A,B,C,D,E,F\nView,✅*,✓ (paid),if own,10,☒,✓\nEdit,✓,N/A,yes¹,○,only own,❎\n";
    let (csv, unread) = matrix("t.csv", text);
    assert!(csv.ends_with(",view,View,-,-,-,-,-,x,\n,edit,Edit,x,-,-,-,-,-,\n"), "{csv}");
    assert_eq!(unread.len(), 10, "{unread:?}");
    assert_eq!(
        unread[0],
        "t.csv:2:6: `✅*`: a condition beside a tick, which only a gate can say; taken as no"
    );
    assert!(unread[9].starts_with("t.csv:3:28: `❎`: no tick and no cross"), "{unread:?}");
}

#[test]
fn an_x_beside_ticks_waits_for_a_word() {
    let text = "What,A,B\nView,✓,x\nEdit,✓,✓\n";
    let (csv, unread) = matrix("t.csv", text);
    assert!(csv.contains("View,x,-,") && unread.len() == 1, "{csv} {unread:?}");
    for (x_grants, cell) in [(true, "x"), (false, "-")] {
        let reading = Reading { x_grants: Some(x_grants), ..Reading::default() };
        let options = Import { file: "t.csv", text, model: "m", reading, ..Import::default() };
        let imported = import(&SourceFiles::default(), &options).unwrap();
        assert!(imported.unread.is_empty());
        assert!(imported.files[0].1.contains(&format!("View,x,{cell},")), "{imported:?}");
    }
}

#[track_caller]
fn assert_unread(file: &str, text: &str, why: &str) {
    match new(file, text) {
        Err(ImportError::Empty(unread)) => {
            let told: Vec<String> = unread.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|line| line.contains(why)), "{told:?}\n{text}");
        }
        other => panic!("{other:?}\n{text}"),
    }
}

#[test]
fn a_table_that_can_be_read_in_two_ways_is_not_read() {
    // Is `Own` a label, and are the marks of the other row moved?
    assert_unread("t.csv", "What,Which,A,B\nUsers,Own,x,x\nView,x,,\n", "--label-columns 1");
    // The first header was lost, so every header stands one too far left.
    assert_unread("t.csv", "What,Item,B,\nUsers,View,x,x\n,Edit,-,x\n", "which role is it?");
    assert_unread("t.md", "| ✓ | x |\n|---|---|\n| View | x |\n", "no header");
    assert_unread("t.csv", "What,A,B,a\nView,x,x,x\n", "there twice");
    assert_unread("t.md", "| What |\n|---|\n| View |\n", "no column for a role");
    assert_unread("t.csv", "What\nView\n", "no table was found");
    assert_unread("t.csv", "", "no table was found");
    assert_unread("t.md", "Nothing here | or there\n", "no table was found");
    assert_unread("t.csv", "What,A\nView,x,x\n", "3 cells under 2 headers");
    assert_unread("t.csv", "What,Permission,A,B\n,,x,x\n", "no label");
    assert_unread(
        "t.csv",
        "What,Permission,A,B\nView,x,x,-\n",
        "a label's header and marks: is it a role's?",
    );
}

#[test]
fn what_is_lost_on_the_way_is_told() {
    let (csv, unread) = matrix("t.csv", "What,A\nView,x\n view ,-\n\"Edit,x\nDelete,x\n");
    assert!(csv.contains("view,View,x") && !csv.contains("elete,x"), "{csv}");
    assert!(unread[0].contains("has a row already, on line 2"), "{unread:?}");
    assert!(unread[1].contains("the quote that begins this field is not closed"), "{unread:?}");
}

/// A model with its own names, gates, notes, and a second matrix over the same file.
fn held() -> SourceFiles {
    let model = "model: m
types: { user: {}, org: {} }
facts: { org: { flags: [paid] } }
roles: [ { at: [org], names: [admin, guest, other] } ]
matrices:
  - { name: m, file: m.csv, at: [org], columns: { admin: admin@org, Guest: guest@org } }
  - { name: n, file: m.csv, at: [org], columns: { other: other@org } }
";
    let matrix = "section,permission,label,admin,Guest,other,gate,note\n\
        Users,u.see,View users,1,no,yes,paid,keep me\nUsers,u.add,Add users,x,-,-,,\n";
    [("model.yaml", model), ("m.csv", matrix)].into_iter().collect()
}

#[track_caller]
fn into_held(text: &str, may_remove: bool) -> Result<Imported, ImportError> {
    let options = Import { file: "t.csv", text, name: Some("m"), may_remove, ..Import::default() };
    import(&held(), &options)
}

#[test]
fn what_both_say_stays_as_it_is() {
    let same = "Section,What,Admin,GUEST\nUsers,view  Users,✓,\n,Add users,✓,\n";
    assert_eq!(into_held(same, false).unwrap().files, []);
    let more = "Section,What,Admin,Guest\nUsers,View users,✓,✓\n,Add users,,\n,Block users,✓,\n";
    let imported = into_held(more, false).unwrap();
    assert_eq!(
        imported.files,
        [(
            "m.csv".to_owned(),
            "section,permission,label,admin,Guest,other,gate,note\n\
             Users,u.see,View users,1,x,yes,paid,keep me\n\
             Users,u.add,Add users,-,-,-,,\n\
             Users,users.block_users,Block users,x,-,-,,\n"
                .to_owned()
        )]
    );
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(imported.granted, [pair("Guest", "u.see"), pair("admin", "users.block_users")]);
    assert_eq!(imported.withdrawn, [pair("admin", "u.add")]);
}

#[test]
fn what_the_table_lacks_goes_only_by_force() {
    let less = "Section,What,Admin\nUsers,View users,✓\n";
    match into_held(less, false) {
        Err(ImportError::Removes(removed, _)) => {
            assert_eq!(removed, ["row `u.add`", "column `Guest`"]);
        }
        other => panic!("{other:?}"),
    }
    let imported = into_held(less, true).unwrap();
    assert!(imported.files[0].1.ends_with("Users,u.see,View users,1,yes,paid,keep me\n"));
}

#[test]
fn the_command_writes_what_it_says() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        path("t.md"),
        "| What | Admin | Guest |\n|---|---|---|\n| View | ✓ | ✓ |\n| Edit | ✓ | |\n",
    )
    .unwrap();
    let (table, dir) = (path("t.md"), path("new/acme"));
    let order = ["model", "import-matrix", &table, "--into", &dir, "--at", "org", "site"];
    let dry = run(&[&order[..], &["--dry-run"]].concat());
    assert_exit(&dry, 0);
    assert!(stdout(&dry).contains("would write") && !temp.path().join("new").exists());
    let output = run(&order);
    assert_exit(&output, 0);
    assert!(stderr(&output).is_empty() && stdout(&output).contains("row edit: Edit  (new)"));
    for command in ["check", "test"] {
        assert_exit(&run(&["model", command, &dir]), 0);
    }
    let model = std::fs::read_to_string(path("new/acme/model.yaml")).unwrap();
    assert!(
        model.contains("  site: { parents: [org] }") && model.contains("at: [org, site]"),
        "{model}"
    );
    let again = run(&order[..5]);
    assert_exit(&again, 0);
    assert!(
        stdout(&again).ends_with("unchanged ".to_owned().as_str())
            || stdout(&again).contains("unchanged ")
    );
    // It would lose a row; then it would not be a model.
    std::fs::write(&table, "| What | Admin | Guest |\n|---|---|---|\n| View | ✓ | ✓ |\n").unwrap();
    let lost = run(&order[..5]);
    assert_exit(&lost, 1);
    assert!(stderr(&lost).contains("--force would remove: row `edit`"), "{lost:?}");
    std::fs::write(&table, "| What | Admin | Guest | Boss |\n|---|---|---|---|\n| View | ✓ | ✓ | ✓ |\n| Edit | ✓ | | |\n").unwrap();
    let before = std::fs::read(path("new/acme/permissions.csv")).unwrap();
    let unknown = run(&order[..5]);
    assert_exit(&unknown, 1);
    assert!(stdout(&unknown).contains("`boss` is no role bound on `org`"), "{unknown:?}");
    assert_eq!(std::fs::read(path("new/acme/permissions.csv")).unwrap(), before);
    assert_exit(&run(&order), 64);
}

#[test]
fn a_table_may_come_through_a_pipe() {
    use std::io::Write as _;
    let temp = tempfile::tempdir().unwrap();
    let mut child =
        bailiwick(&["model", "import-matrix", "-", "--into", temp.path().to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    child.stdin.take().unwrap().write_all(b"What,Admin\nView,maybe\nEdit,yes\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 1);
    assert!(stdout(&output).contains("-:2:6: `maybe`: no tick and no cross; taken as no"));
    let files = SourceFiles::read_dir(temp.path()).unwrap();
    let csv = Document::of(&files, "roles").unwrap().render(Format::Csv);
    assert_eq!(csv, "section,permission,label,admin,gate\n,view,View,-,\n,edit,Edit,x,\n");
}

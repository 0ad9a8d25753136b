//! Tables that could be read as granting more than their authors meant: nothing of that is granted, and
//! each is told.

use std::collections::BTreeMap;

use bailiwick::model::document::{Document, Format};
use bailiwick::model::import::{Import, ImportError, Imported, Regated, import};
use bailiwick::model::{Reading, SourceFiles, load};

use crate::cli::{assert_exit, run, stdout};

fn read_with(file: &str, text: &str, reading: Reading) -> Result<Imported, ImportError> {
    let asked = Import { file, text, model: "m", reading, ..Import::default() };
    import(&SourceFiles::default(), &asked)
}

#[track_caller]
fn read(file: &str, text: &str) -> Imported {
    read_with(file, text, Reading::default()).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

/// The cells that grant, as `role permission`, in order; and that what was made is a model.
#[track_caller]
fn granted(imported: &Imported) -> Vec<String> {
    let files: SourceFiles = imported.files.iter().cloned().collect();
    load(&files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"));
    let mut pairs: Vec<String> =
        imported.granted.iter().map(|(role, permission)| format!("{role} {permission}")).collect();
    pairs.sort();
    pairs
}

#[track_caller]
fn assert_unread(file: &str, text: &str, why: &str) {
    match read_with(file, text, Reading::default()) {
        Err(ImportError::Empty(unread)) => {
            let told: Vec<String> = unread.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|line| line.contains(why)), "{told:?}\n{text}");
        }
        other => panic!("{other:?}\n{text}"),
    }
}

#[track_caller]
fn assert_told(imported: &Imported, why: &str) {
    let all: Vec<String> =
        imported.unread.iter().chain(&imported.notes).map(ToString::to_string).collect();
    assert!(all.iter().any(|line| line.contains(why)), "{all:?}");
}

#[test]
fn a_no_in_the_long_form_is_no_grant() {
    for text in [
        "permission,role,allowed\na.b,admin,yes\na.b,viewer,no\na.c,viewer,no\n",
        "permission;role;granted\na.b;admin;1\na.b;viewer;0\na.c;viewer;0\n",
        "permission,Role,Effect\na.b,admin,allow\na.b,viewer,deny\na.c,viewer,Denied\n",
    ] {
        let imported = read("t.csv", text);
        assert_eq!((granted(&imported), imported.unread), (vec!["admin a.b".into()], vec![]));
        assert_eq!(imported.rows.len(), 2, "{text}");
    }
    let text = "| permission | role | effect |\n|---|---|---|\n| a.b | admin | allow |\n| a.c | viewer | deny |\n";
    assert_eq!(granted(&read("t.md", text)), ["admin a.b"]);
    let unclear =
        read("t.csv", "permission,role,access\na.b,admin,yes\na.c,admin,read\na.d,admin,\n");
    assert_eq!((granted(&unclear), unclear.unread.len()), (vec!["admin a.b".into()], 2));
    let letters = read("t.csv", "permission,role,granted\na.b,admin,✓\na.c,admin,x\n");
    assert_eq!((granted(&letters), letters.unread.len()), (vec!["admin a.b".into()], 1));
}

#[test]
fn the_long_form_has_no_columns_but_its_own() {
    for header in ["denied", "until", "allowed,granted", "slug", "Comment,Note"] {
        let fields = vec!["no"; header.split(',').count()].join(",");
        let text = format!("permission,role,{header}\na.b,admin,{fields}\n");
        assert_unread("t.csv", &text, "is no column of the long form; none of the table is read");
    }
    assert_unread("t.csv", "permission,role,\na.b,admin,no\n", "is no column of the long form");
    assert_unread("t.csv", "permission,role,Admin\na.b,x,\n", "`Admin` is no column");
    assert_unread("t.csv", "permission,role\na.b,\"admin, viewer\"\na.b,-\n", "name one role");
    // Labels beside roles; and roles down the side.
    assert_unread("t.csv", "Permission,Role,Allowed\nView all,admin,no\n", "`Role` holds roles");
    assert_unread("t.csv", "Role,View,Edit\nAdmin,x,x\n", "`Role` holds roles");
    let twice = read("t.csv", "permission,role\na.b,admin\na.b,Admin\na.c,Admin\n");
    assert_eq!((granted(&twice), twice.unread.len()), (vec!["admin a.b".into()], 2));
}

/// A model in which `a.b` is gated, and whose matrix file is this.
fn held(matrix: &str) -> SourceFiles {
    let model = "model: m
types: { user: {}, org: {} }
facts: { org: { flags: [paid, big] } }
roles: [ { at: [org], names: [admin, viewer] } ]
matrices: [ { name: m, file: m.csv, at: [org], bound: org } ]
";
    [("model.yaml", model), ("m.csv", matrix)].into_iter().collect()
}

#[track_caller]
fn into(files: &SourceFiles, file: &str, text: &str) -> Imported {
    import(files, &Import { file, text, ..Import::default() })
        .unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

#[test]
fn the_long_form_without_gates_leaves_gates_as_they_are() {
    let files = held("permission,admin,viewer,gate\na.b,x,-,paid\na.c,x,x,\n");
    let same = into(&files, "t.csv", "permission,role\na.b,admin\na.c,admin\na.c,viewer\n");
    assert_eq!((same.files, same.regated, same.unread), (vec![], vec![], vec![]));
    let more =
        into(&files, "t.csv", "permission,role\na.b,admin\na.b,viewer\na.c,admin\na.c,viewer\n");
    assert_eq!(more.files[0].1, "section,permission,admin,viewer,gate\n,a.b,x,x,paid\n,a.c,x,x,\n");
    let mixed = held("permission,role,gate\na.b,admin,paid\na.b,viewer,big\n");
    let same = into(&mixed, "t.csv", "permission,role\na.b,admin\na.b,viewer\n");
    assert_eq!((same.files, same.regated), (vec![], vec![]));
}

#[test]
fn two_lines_for_one_cell_grant_nothing() {
    for lines in ["a.b,admin,paid\na.b,admin,\n", "a.b,admin,\na.b,admin,paid\n"] {
        let text = format!("permission,role,gate\n{lines}a.c,admin,\n");
        let imported = read("t.csv", &text);
        assert_eq!(granted(&imported), ["admin a.c"], "{text}");
        assert_told(&imported, "t.csv:3:5: `admin`: another line has this cell; taken as no");
    }
    let imported = read("t.csv", "permission,role,allowed\na.b,admin,no\na.b,admin,yes\n");
    assert_eq!((granted(&imported), imported.unread.len()), (vec![], 1));
}

#[test]
fn every_gate_that_changes_is_told() {
    let files = held("permission,label,admin,viewer,gate\na.b,AB,x,x,paid\na.c,AC,x,-,\n");
    let changed = |text: &str| into(&files, "t.csv", text).regated;
    let regated = |columns: &[&str], permission: &str, before: &str, after: &str| Regated {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        permission: permission.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    assert_eq!(
        changed("permission,label,admin,viewer,gate\na.b,AB,x,x,\na.c,AC,x,-,big\n"),
        [regated(&["admin", "viewer"], "a.b", "paid", ""), regated(&["admin"], "a.c", "", "big")]
    );
    assert_eq!(
        changed("permission,role,gate\na.b,admin,big\na.b,viewer,\na.c,admin,\n"),
        [regated(&["admin"], "a.b", "paid", "big"), regated(&["viewer"], "a.b", "paid", "")]
    );
    assert_eq!(changed("What,admin,viewer\nAB,x,x\nAC,x,-\n"), []);
}

#[test]
fn the_command_tells_the_gates_that_fall_away_first() {
    let temp = tempfile::tempdir().unwrap();
    let files = held("permission,admin,viewer,gate\na.b,x,-,\na.c,x,x,paid\n");
    for name in ["model.yaml", "m.csv"] {
        std::fs::write(temp.path().join(name), files.get(name).unwrap()).unwrap();
    }
    let table = temp.path().join("t.csv");
    std::fs::write(&table, "permission,admin,viewer,gate\na.b,x,-,big\na.c,x,x,\n").unwrap();
    let dir = temp.path().to_str().unwrap();
    let output =
        run(&["model", "import-matrix", table.to_str().unwrap(), "--into", dir, "--dry-run"]);
    assert_exit(&output, 0);
    let told = "gate removed from a.c, which admin, viewer now has without it: `paid`\n\
                gate added to a.b for admin: `big`\n";
    assert!(stdout(&output).contains(told), "{output:?}");
}

#[test]
fn an_x_beside_any_other_mark_waits_for_a_word() {
    for (file, text, expected) in [
        (
            "t.md",
            "| What | A | B |\n|---|---|---|\n| View | ✅ own | ✅ own |\n| Wipe | ✅ own | X |\n",
            0,
        ),
        ("t.md", "| What | A | B |\n|---|---|---|\n| View | O | O |\n| Wipe | - | X |\n", 0),
        ("t.csv", "What,A,B\nView,V,V\nWipe,-,X\n", 0),
        ("t.csv", "What,A,B\nView,👍,👍\nWipe,-,X\n", 0),
        ("t.csv", "What,A,B\nView,full,read\nWipe,-,x\n", 0),
        (
            "t.md",
            "## One\n\n| What | A |\n|---|---|\n| View | ✅ |\n\n## Two\n\n| What | A |\n|---|---|\n| Wipe | x |\n",
            1,
        ),
        (
            "t.md",
            "| What | A |\n|---|---|\n| Wipe | x |\n\n| What | A | A |\n|---|---|---|\n| View | ✅ | |\n",
            0,
        ),
    ] {
        let imported = read(file, text);
        assert_eq!(granted(&imported).len(), expected, "{text}");
        assert_told(&imported, "--x yes or --x no says which");
        let reading = Reading { x_grants: Some(true), ..Reading::default() };
        assert_eq!(granted(&read_with(file, text, reading).unwrap()).len(), expected + 1, "{text}");
    }
    for legend in ["x = not allowed", "**X**: no", "`x` means denied", "\"x\" – never"] {
        let text = format!("| What | A |\n|---|---|\n| Wipe | x |\n\nLegend: {legend}\n");
        let imported = read("t.md", &text);
        assert_eq!((granted(&imported), imported.unread.len()), (vec![], 1), "{text}");
    }
    // A column without a known mark is no label either.
    for text in ["What,A,B\nView,V,V\nWipe,V,X\n", "What,A,B\nView,2,1\nEdit,2,0\n"] {
        assert_unread("t.csv", text, "the column `A` has words and no marks: is it a role's?");
        let reading = Reading { label_columns: Some(1), ..Reading::default() };
        let imported = read_with("t.csv", text, reading).unwrap();
        assert!(granted(&imported).iter().all(|cell| cell == "b view"), "{imported:?}");
    }
    let gated = read("t.csv", "What,Gate,Note,A\nView,paid,why,x\n");
    assert_eq!(gated.files[0].1, "section,permission,label,a,gate,note\n,view,View,x,paid,why\n");
    // Words in sections and labels are no marks.
    let plain = read("t.csv", "Area,What,A,B\nUsers,Users,Users,Users\nOne,View,x,-\n,Edit,X,no\n");
    assert_eq!((granted(&plain).len(), plain.unread), (2, vec![]));
}

#[test]
fn a_parameter_of_the_model_is_no_mark_of_another_kind() {
    let mut files = held("permission,admin,viewer,gate\na.b,x,full,\n");
    let model = format!("{}parameters: {{ full: false }}\n", files.get("model.yaml").unwrap());
    files.insert("model.yaml", &model);
    let same = into(&files, "m.csv", files.get("m.csv").unwrap());
    assert_eq!((same.files, same.unread), (vec![], vec![]));
}

#[test]
fn a_column_with_marks_is_no_label() {
    for header in ["Group", "Module", "Resource", "Item", "Task", "Section", "What"] {
        let text = format!("Feature,{header},Owner,Viewer\nView,x,x,\nEdit,-,x,\nWipe,x,,\n");
        assert_unread("t.csv", &text, "has a label's header and marks: is it a role's?");
        let reading = Reading { label_columns: Some(1), ..Reading::default() };
        let imported = read_with("t.csv", &text, reading).unwrap();
        let role = header.to_lowercase();
        let role = if role == "section" { "section_".to_owned() } else { role };
        let mut expected = vec![
            format!("{role} view"),
            format!("{role} wipe"),
            "owner edit".into(),
            "owner view".into(),
        ];
        expected.sort();
        assert_eq!(granted(&imported), expected, "{text}");
        let text = format!("Feature,{header},Owner,Viewer\nView,x,x,\nEdit,own,x,\n");
        assert_unread("t.csv", &text, "has words and marks: is it a role's?");
    }
    for header in ["Note", "Gate"] {
        let text = format!("What,{header},Owner\nView,x,x\nEdit,,x\n");
        assert_unread("t.csv", &text, "holds marks: is it a role's?");
    }
    assert_unread("t.csv", "permission,section,admin\na.b,x,\n", "`section` holds marks");
}

#[test]
fn what_a_reader_of_the_page_does_not_see_grants_nothing() {
    const SEEN: &str = "| What | A |\n|---|---|\n| View | ✅ |\n";
    const WIPE: &str = "| What | A |\n|---|---|\n| Wipe | ✅ |\n";
    let indented: String = WIPE.lines().map(|line| format!("    {line}\n")).collect();
    for (hidden, why) in [
        (format!("<!-- next year:\n\n{WIPE}-->\n"), "within a comment"),
        (format!("Later <!-- next year:\n\n{WIPE}-->\n"), "a comment that begins within a line"),
        (format!("````md\n```\n{WIPE}```\n````\n"), "within a code block"),
        (format!("```\n{WIPE}    ```\n{WIPE}```\n"), "within a code block"),
        (format!("~~~\n```\n{WIPE}~~~ no end\n{WIPE}~~~\n"), "within a code block"),
        (format!("Code:\n\n{indented}"), "indented by four columns"),
        (format!("    {}", WIPE.replace('\n', "\n\t")), "indented by four columns"),
        (format!("<pre>\n{WIPE}</pre>\n"), "an element that may hide it"),
        (format!("<del>\n\n{WIPE}</del>\n"), "an element that may hide it"),
        (format!("<div style=\"display: none\">\n\n{WIPE}</div>\n"), "may hide it"),
        (format!("> {}\n", WIPE.trim_end().replace('\n', "\n> ")), "within a quotation"),
        (WIPE.replace("| Wipe", "| ~~Wipe~~"), "struck out"),
        (WIPE.replace("| Wipe", "| <del>Wipe</del>"), "struck out"),
        (WIPE.replace("| Wipe", "| Do ~~Wipe~~ less"), "struck out"),
        (WIPE.replace("| A", "| ~~A~~"), "struck out"),
        (WIPE.replace("| ✅", "| ~~✅~~"), "is it a role's?"),
        (WIPE.replace("| Wipe", "| **~~Old~~** | |\n| Wipe"), "struck out"),
    ] {
        let text = format!("{SEEN}\n{hidden}\n{SEEN}", SEEN = SEEN);
        let text = text.replacen("View", "Look", 1);
        let imported = read("t.md", &text);
        assert_eq!(granted(&imported), ["a look", "a view"], "{text}");
        assert_told(&imported, why);
    }
    let imported = read("t.md", &format!("{SEEN}\n<!-- never closed\n\n{WIPE}"));
    assert_eq!(granted(&imported), ["a view"]);
    assert_told(&imported, "within a comment");
    // Within a table too.
    let imported = read("t.md", &format!("{SEEN}    | Wipe | ✅ |\n"));
    assert_eq!((granted(&imported), imported.unread.len()), (vec!["a view".into()], 1));
    let shown = read("t.md", &format!("Write `<!--` and ``` `x` ```.\n\n{SEEN}"));
    assert_eq!((granted(&shown).len(), shown.notes, shown.unread), (1, vec![], vec![]));
}

#[test]
fn headers_stand_over_as_many_columns_as_are_aligned() {
    for text in [
        " | Owner | Technician\n---|---|---\nView | x | x\nInvite | x |\n",
        "| What | Owner | Viewer | Guest |\n|---|---|\n| View | x | x | x |\n",
    ] {
        assert_unread("t.md", text, "columns of dashes; none of the table is read");
    }
    let two = "| What | A | B |\n|---|---|---|\n| View | x | |\n| What | B | A |\n|---|---|---|\n| Wipe | x | |\n";
    assert_unread("t.md", two, "line 5 has dashes as below a header");
}

#[test]
fn a_row_that_nobody_has_is_no_section_among_marked_ones() {
    let text = "| What | A | B |\n|---|---|---|\n| **Stations** | | |\n| View | x | x |\n| Create sites | | |\n| Edit | x | |\n";
    let imported = read("t.md", text);
    let names: Vec<&str> = imported.rows.iter().map(|row| row.permission.as_str()).collect();
    assert_eq!(names, ["stations.view", "stations.create_sites", "stations.edit"]);
    assert_told(
        &imported,
        "t.md:5:3: `Create sites` stands alone: taken for a permission that nobody has",
    );
    // Nothing tells which it is: told.
    for text in ["What,A\nUsers,\nView,x\nWipe,\nEdit,x\n", "What,A,B\nView,x,\nWipe,,\nEdit,x,\n"]
    {
        assert_told(&read("t.csv", text), "`Wipe` stands alone: taken for a section");
    }
    let bold = "| What | A |\n|---|---|\n| **View** | x |\n| **Wipe** | |\n| **Edit** | x |\n";
    assert_told(&read("t.md", bold), "`Wipe` stands alone: taken for a section");
}

#[test]
fn columns_that_could_be_one_are_not_read() {
    for text in ["What,Admin*,Admin\nView,x,x\nWipe,-,x\n", "What,Admin,Admin*\nView,x,x\n"] {
        assert_unread("t.csv", text, "may be the same as");
    }
    let files = held("permission,label,admin,viewer,gate\na.b,AB,x,-,\n");
    let asked = |text| import(&files, &Import { file: "t.csv", text, ..Import::default() });
    for text in ["What,Admin*,admin,viewer\nAB,x,-,-\n", "What,Admin,Admin¹,viewer\nAB,-,x,-\n"] {
        assert!(matches!(asked(text), Err(ImportError::Empty(_))), "{text}");
    }
    assert_eq!(asked("What,Admin*,viewer\nAB,x,-\n").unwrap().files, []);
    // Names are what they are.
    let names = read("t.csv", "permission,fleet.admin,fleet_admin\na.b,x,-\n");
    assert_eq!(granted(&names), ["fleet.admin a.b"]);
}

#[test]
fn a_section_may_be_called_as_the_mark_of_none() {
    let files = held(
        "section,permission,admin,viewer,gate\n*no section*,a.b,x,-,\n,a.c,x,x,\n*no section*,a.d,-,x,\n",
    );
    let markdown = Document::of(&files, "m").unwrap().render(Format::Markdown);
    let again = into(&files, "t.md", &markdown);
    assert_eq!((again.files, again.unread), (vec![], vec![]), "{markdown}");
}

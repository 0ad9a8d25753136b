//! Who gains and who loses: over a running service, over the store that it left when it was killed, and
//! that what is not complete says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use bailiwick::engine::compare::{Refuses, WorldError, worlds};
use bailiwick::model::limits::{
    DEPTH_MAX, DIFF_LINES_DEFAULT, DIFF_MISPLACED_MAX, DIFF_NOTED_MAX, DIFF_QUESTIONS_DEFAULT,
};
use bailiwick::model::tuple::Time;
use bailiwick::store::sled::SledStore;
use serde_json::Value;

use super::{Files, files, put, small, with};
use crate::cli::{assert_exit, bailiwick, run, stderr, stdout};
use crate::support::process::{Started, serve};
use crate::support::stand_in::{Scripts, StandIn};
use crate::support::{World, model, tuple};

/// Two models in a directory of their own, and a store.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(old: &Files, new: &Files) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        put(old, &place.path("old"));
        put(new, &place.path("new"));
        std::fs::create_dir(place.path("tmp")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn diff(&self, args: &[&str]) -> Output {
        let output = bailiwick(&["model", "diff"])
            .args([self.path("old"), self.path("new")])
            .args(args)
            .env("TMPDIR", self.path("tmp"))
            .output()
            .unwrap();
        assert_eq!(std::fs::read_dir(self.path("tmp")).unwrap().count(), 0, "something stays");
        output
    }

    /// Over the store of this place.
    fn over_store(&self, args: &[&str]) -> Output {
        let store = self.path("store");
        self.diff(&[&["--data", store.to_str().unwrap()], args].concat())
    }

    /// Stores tuples that the old model admits.
    fn store(&self, tuples: &[impl AsRef<str>]) {
        let store = SledStore::open_or_create(&self.path("store")).unwrap();
        let yaml = std::fs::read_to_string(self.path("old/model.yaml")).unwrap();
        let world = World::on(Arc::new(store), &yaml);
        world.put(tuples);
        world.pdp.close();
    }
}

/// What is told of tuples, after the changes of the model.
fn told(output: &Output) -> Vec<String> {
    let text = stdout(output);
    let lines = text.lines().skip_while(|line| !line.starts_with("over "));
    lines.skip(1).map(str::to_owned).collect()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

/// All bytes below a directory.
fn bytes(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes(&path, found);
        } else {
            let held = std::fs::read(&path).unwrap();
            found.insert(path, held);
        }
    }
}

const ZAPTEC: [&str; 9] = [
    "installation:i1#has@feature:product:pro",
    "installation:i1#owner@user:bea",
    "installation:i2#has@feature:product:go",
    "installation:i2#owner@user:tom",
    "installation:i3#owner@user:eve",
    "charger:c1#parent@installation:i1",
    "charger:c1#owner@user:ona",
    "charger:c2#parent@installation:i2",
    "charger:c3#parent@installation:i3",
];

#[test]
fn a_service_and_the_store_that_it_left_when_killed_tell_the_same() {
    let old = files("models/zaptec");
    let new = with(&old, "model.yaml", "full_control_on_pro: false", "full_control_on_pro: true");
    let place = Place::new(&old, &new);
    let process = Started::new(serve(&[], &place.path("old"), &place.path("store"))).serving();
    let endpoint = format!("http://{}", process.address);
    let creates = ZAPTEC.iter().flat_map(|tuple| ["--create", tuple]);
    let args: Vec<&str> = ["write", "--endpoint", &endpoint].into_iter().chain(creates).collect();
    assert_exit(&run(&args), 0);

    let served = place.diff(&["--endpoint", &endpoint]);
    assert_exit(&served, 2);
    let permissions = ["access.manage", "access.view", "status.monitor", "user_data.view"]
        .map(|p| format!("charger.{p}"));
    let gain = |p: &String| {
        // Of the third installation no product is known: before, nobody could say.
        [
            format!("+ user:bea {p} charger:c1"),
            format!("+ user:eve {p} charger:c3 (not known -> yes)"),
        ]
    };
    let mut expected: Vec<String> = permissions.iter().flat_map(gain).collect();
    let lines = told(&served);
    let last = lines.last().unwrap();
    assert!(last.starts_with("complete: gained 8, lost 0, not known 0; "), "{last}");
    expected.push(last.clone());
    assert_eq!(lines, expected);

    // While it serves nobody else may have the store.
    let taken = place.over_store(&[]);
    assert_exit(&taken, 1);
    assert!(stderr(&taken).contains("in use by another process"), "{}", stderr(&taken));

    let of_service = json(&place.diff(&["--endpoint", &endpoint, "--output", "json"]));
    drop(process);
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    bytes(&place.path("store"), &mut before);
    let killed = place.over_store(&["--output", "json"]);
    assert_exit(&killed, 2);
    bytes(&place.path("store"), &mut after);
    assert!(before == after, "the store is as it was");
    let of_store = json(&killed);
    for key in [
        "tuples",
        "gained",
        "lost",
        "unknown",
        "unanswered",
        "entries",
        "refused",
        "revision",
        "questions",
        "complete",
        "missing",
        "left_out",
        "breaking_constraints",
        "asks_context",
    ] {
        assert!(!of_store["data"][key].is_null(), "{key}");
        assert_eq!(of_service["data"][key], of_store["data"][key], "{key}");
    }
    let entry = &of_store["data"]["entries"][0];
    let text = r#"{"change":"gained","new":"yes","old":"no","permission":"charger.access.manage","scope":"charger:c1","subject":"user:bea"}"#;
    assert_eq!(*entry, serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(
        (&of_store["data"]["tuples"], &of_store["data"]["complete"]),
        (&9.into(), &true.into())
    );
    assert_exit(&place.diff(&["--data", place.path("nowhere").to_str().unwrap()]), 1);
    assert_exit(&place.diff(&["--data", "x", "--endpoint", &endpoint]), 64);
    assert_exit(&place.diff(&["--endpoint", &endpoint]), 1);
}

#[test]
fn who_loses_a_tick_is_named_and_nobody_else() {
    let old = files("models/virta");
    let row = "general/settings,general.settings.enable_mfa,x,x,x,x,x,x,";
    let less = "general/settings,general.settings.enable_mfa,x,x,x,,x,x,";
    let place = Place::new(&old, &with(&old, "permissions.csv", row, less));
    let process = Started::new(serve(&[], &place.path("old"), &place.path("store"))).serving();
    let endpoint = format!("http://{}", process.address);
    let tuples = [
        "org:acme#has@feature:module:general/settings",
        "org:acme#technician@user:tec",
        "org:acme#financial_support@user:fin",
        "org:acme#financial_support@user:both",
        "org:acme#charging_manager@user:both",
        "org:other#financial_support@user:else",
    ];
    let creates = tuples.iter().flat_map(|tuple| ["--create", tuple]);
    let args: Vec<&str> = ["write", "--endpoint", &endpoint].into_iter().chain(creates).collect();
    assert_exit(&run(&args), 0);
    let lines = told(&place.diff(&["--endpoint", &endpoint]));
    assert_eq!(lines[0], "- user:fin general.settings.enable_mfa org:acme", "{lines:?}");
    assert!(lines[1].starts_with("complete: gained 0, lost 1, "), "{lines:?}");
    // The other way round it is a gain, and the models are the same otherwise.
    let same = Place::new(&old, &old);
    let output = same.diff(&["--endpoint", &endpoint]);
    assert_exit(&output, 0);
    assert!(told(&output)[0].starts_with("complete: gained 0, lost 0, "));
}

const OPEN: &str = "facts:
  org: { flags: [paid] }
conditions:
  office: { parameters: { hour: int }, when: 'hour >= 8' }
roles:
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
  - { at: [org], names: [admin, owner], bound_by: [user, 'user:*', 'group#member'], conditions: [office] }
permissions:
  read: { at: [org], is: 'fact(paid)' }
  edit: { at: [org], is: 'admin' }
constraints: []
";

#[test]
fn what_holds_without_a_binding_is_told_of_all_and_of_the_unnamed() {
    let old = small(OPEN);
    let new = with(&old, "model.yaml", "is: 'fact(paid)'", "is: 'admin'");
    let place = Place::new(&old, &new);
    place.store(&["org:acme#has@feature:paid", "org:acme#admin@user:ana", "org:b#owner@user:eve"]);
    let output = place.over_store(&[]);
    assert_exit(&output, 2);
    let mut lines = told(&output);
    let last = lines.pop().unwrap();
    assert_eq!(
        lines,
        [
            "- doc:* read org:acme",
            "- (any doc that no tuple names) read org:acme",
            "- group:* read org:acme",
            "- (any group that no tuple names) read org:acme",
            "- org:* read org:acme",
            "- (any org that no tuple names) read org:acme",
            "- org:acme read org:acme",
            "- org:b read org:acme",
            "- user:* read org:acme",
            "- (any user that no tuple names) read org:acme",
            "- user:eve read org:acme",
            "asked without a context, which they ask for: read at org",
        ]
    );
    assert!(last.starts_with("complete: gained 0, lost 11, "), "{last}");

    // What is allowed at any scope at all is told of one that no tuple names.
    let own = with(&new, "model.yaml", "is: 'admin'", "is: 'anywhere(org, admin)'");
    put(&own, &place.path("new"));
    put(&new, &place.path("old"));
    let lines = told(&place.over_store(&[]));
    assert_eq!(
        lines[..2],
        ["+ user:ana read org:b", "+ user:ana read (any org that no tuple names)"]
    );
}

#[test]
fn what_the_new_model_refuses_is_told_first_and_left_out() {
    let old = small(OPEN);
    let new =
        with(&old, "model.yaml", "bound_by: [user, 'user:*', 'group#member']", "bound_by: [user]");
    let new = with(
        &new,
        "model.yaml",
        "constraints: []",
        "constraints: [{ name: one, at: [org], role: owner, at_most: 1 }]",
    );
    let new = with(&new, "model.yaml", "is: 'admin'", "is: 'admin or owner'");
    let place = Place::new(&old, &new);
    place.store(&[
        "org:acme#admin@user:*",
        "org:acme#owner@user:ana",
        "org:acme#owner@user:eve",
        "org:acme#admin@group:g#member",
        "group:g#member@user:joe",
    ]);
    let output = place.over_store(&[]);
    assert_exit(&output, 2);
    let lines = told(&output);
    let starts = [
        "! org:acme#admin@user:*: left out: refused by the new model: ",
        "! org:acme#admin@group:g#member: left out: refused by the new model: ",
        "! org:acme#owner@user:ana: refused by the new model: the constraint `one` ",
        "+ user:ana edit org:acme",
        "+ user:eve edit org:acme",
        "asked without a context",
        "2 tuples left out; compared is what remains",
        "the new model would be refused: 1 tuple in the way of its constraints",
        "complete: gained 2, lost 0, ",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    let data = &json(&place.over_store(&["--output", "json"]))["data"];
    assert_eq!((&data["left_out"], &data["breaking_constraints"]), (&2.into(), &1.into()));
    assert_eq!(data["refused"][0]["tuple"], "org:acme#admin@user:*");
    assert_eq!(
        (&data["refused"][0]["model"], &data["refused"][0]["left_out"]),
        (&"new".into(), &true.into())
    );
}

#[test]
fn a_bound_that_is_met_is_said_everywhere() {
    let old = small(OPEN);
    let new = with(&old, "model.yaml", "is: 'admin'", "is: 'admin or owner'");
    let place = Place::new(&old, &new);
    let tuples: Vec<String> = (0..30).map(|i| format!("org:acme#owner@user:u{i:02}")).collect();
    place.store(&tuples);
    let whole = place.over_store(&[]);
    assert_exit(&whole, 2);
    assert_eq!(told(&whole).iter().filter(|line| line.starts_with("+ user:u")).count(), 30);

    let few = place.over_store(&["--limit", "7"]);
    assert_exit(&few, 1);
    let lines = told(&few);
    assert_eq!(lines.iter().filter(|line| line.starts_with("+ user:u")).count(), 7);
    let end =
        "NOT COMPLETE: gained 30, lost 0, not known 0; 23 lines are left out; --limit tells more";
    assert_eq!(lines.last().unwrap(), end);
    assert!(stderr(&few).contains("warning: the comparison is not complete: 23 lines"));

    let cut = place.over_store(&["--questions", "20", "--output", "json"]);
    assert_exit(&cut, 1);
    let data = &json(&cut)["data"];
    assert_eq!((&data["complete"], &data["questions"]), (&false.into(), &20.into()));
    let why = "only 20 questions were asked; --questions asks more";
    assert_eq!(data["missing"], serde_json::json!([why]));
    assert!(stderr(&cut).contains(why));
    let questions = json(&place.over_store(&["--output", "json"]))["data"]["questions"].as_u64();
    let just = questions.unwrap().to_string();
    assert_exit(&place.over_store(&["--questions", &just]), 2);

    let help = stdout(&run(&["model", "diff", "--help"]));
    for default in [DIFF_LINES_DEFAULT, DIFF_QUESTIONS_DEFAULT] {
        assert!(help.contains(&format!("[default: {default}]")), "{help}");
    }
}

#[test]
fn a_question_without_an_answer_is_told_and_not_taken_for_no() {
    let old = small(OPEN);
    let new = with(
        &old,
        "model.yaml",
        "edit: { at: [org], is: 'admin' }",
        "edit: { at: [org], is: 'no' }",
    );
    let place = Place::new(&old, &new);
    let nested = (1..=DEPTH_MAX + 2).map(|i| format!("group:g{}#member@group:g{i}#member", i + 1));
    let last = DEPTH_MAX + 3;
    let mut tuples: Vec<String> = nested.collect();
    tuples.push(format!("org:acme#admin@group:g{last}#member"));
    tuples.push("group:g1#member@user:ana".to_owned());
    place.store(&tuples);
    let output = place.over_store(&[]);
    assert_exit(&output, 1);
    let lines = told(&output);
    assert!(lines[0].starts_with("! user:ana edit org:acme: no answer: subject sets"), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("NOT COMPLETE: "), "{lines:?}");
}

#[test]
fn tuples_that_do_not_come_whole_are_an_error() {
    let old = small(OPEN);
    let place = Place::new(&old, &with(&old, "model.yaml", "is: 'admin'", "is: 'owner'"));
    let stand_in = StandIn::start(Scripts { read: Vec::new(), ..Scripts::default() });
    let output = place.diff(&["--endpoint", &stand_in.endpoint]);
    assert_exit(&output, 1);
    assert!(!stdout(&output).contains("complete"), "{}", stdout(&output));
    assert!(stderr(&output).contains("without its end mark"), "{}", stderr(&output));
}

#[test]
fn the_moment_may_be_chosen() {
    let old = small(OPEN);
    let place = Place::new(&old, &with(&old, "model.yaml", "is: 'admin'", "is: 'owner'"));
    let process = Started::new(serve(&[], &place.path("old"), &place.path("store"))).serving();
    let endpoint = format!("http://{}", process.address);
    let args = ["write", "--create", "org:acme#admin@user:ana", "--expires-in", "1h"];
    assert_exit(&run(&[&args[..], &["--endpoint", &endpoint]].concat()), 0);
    let at = |now: &[&str]| told(&place.diff(&[&["--endpoint", &endpoint], now].concat()));
    assert_eq!(at(&[])[0], "- user:ana edit org:acme");
    assert!(at(&["--now", "2999-01-01T00:00:00Z"]).last().unwrap().contains("lost 0"));
    assert_exit(&place.diff(&["--endpoint", &endpoint, "--now", "tomorrow"]), 64);
}

#[test]
fn a_note_names_some_and_counts_the_others() {
    let count = DIFF_NOTED_MAX + 2;
    let permissions = |of: &str| {
        let one = |i: usize| format!("  p{i:02}: {{ at: [org], is: '{of}' }}\n");
        (0..count).map(one).collect::<String>()
    };
    let rest = |of: &str| format!("{}{}", OPEN.replace("constraints: []\n", ""), permissions(of));
    let place = Place::new(&small(&rest("admin")), &small(&rest("owner")));
    place.store(&["org:acme#admin@user:ana"]);
    let lines = told(&place.over_store(&[]));
    let note = lines.iter().find(|line| line.starts_with("asked without a context")).unwrap();
    assert!(note.contains("p09 at org, and 2 more") && !note.contains("p10"), "{note}");
    let data = &json(&place.over_store(&["--output", "json"]))["data"];
    assert_eq!(data["asks_context"].as_array().unwrap().len(), count);
}

#[test]
fn parents_that_do_not_fit_are_left_out_up_to_a_bound() {
    let yaml = "model: m\ntypes:\n  user: {}\n  org: { parents: { org: { many: true } } }\n";
    let (old, new) =
        (Arc::new(model(yaml)), Arc::new(model(&yaml.replace("many: true", "many: false"))));
    let second = |count: usize| {
        let edges = (0..count)
            .flat_map(|i| [format!("org:o{i}#parent@org:a"), format!("org:o{i}#parent@org:b")]);
        let tuples: Vec<_> = edges.map(|text| tuple(&text)).collect();
        worlds([Arc::clone(&old), Arc::clone(&new)], tuples, Time(0))
    };
    let found = second(DIFF_MISPLACED_MAX).unwrap();
    assert_eq!((found.tuples, found.left_out.len()), (DIFF_MISPLACED_MAX, DIFF_MISPLACED_MAX));
    assert!(found.left_out.iter().all(|out| out.refuses == Refuses::New));
    let error = second(DIFF_MISPLACED_MAX + 1).unwrap_err();
    assert!(matches!(error, WorldError::Misplaced { limit: DIFF_MISPLACED_MAX, .. }), "{error}");
}

//! Asks each row of the platforms' delegation tables: the actor holds just that role, the target just the
//! target's (none, where it is invited). A row under a gate is asked with the gate held, and not held.
//! `golden/delegation_*.txt` is the table: actor's role, verb, target's role, allowed, gate or `-`.
#![expect(clippy::print_stdout, reason = "a run says what it counted")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bailiwick::engine::{CheckedContext, DelegatedQuestion, Reason};
use bailiwick::model::form::{DelegatedOp, Model};
use bailiwick::model::{self, SourceFiles};
use bailiwick::pdp::{Clock, Pdp};
use bailiwick::store::memory::MemoryStore;

use crate::support::{SetClock, files_of, touch};

/// The platform, its table, its rows, and how many of them are allowed.
const PLATFORMS: [(&str, &str, usize, usize); 2] = [
    ("energyhub", include_str!("golden/delegation_energyhub.txt"), 147, 42),
    ("virta", include_str!("golden/delegation_virta.txt"), 98, 28),
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    asked: usize,
    agreed: usize,
    different: usize,
}

struct Platform {
    pdp: Pdp,
    /// A question is asked in an organization of its own.
    asked: usize,
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.pdp.close();
    }
}

fn compiled(platform: &str) -> Model {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(platform);
    let files = SourceFiles::read_dir(&dir).unwrap();
    model::load(&files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

impl Platform {
    fn new(platform: &str) -> Self {
        let model = compiled(platform);
        let stored = files_of(&model);
        let clock: Arc<dyn Clock> = Arc::new(SetClock::default());
        let pdp = Pdp::open(Arc::new(MemoryStore::new()), model, stored, clock).unwrap();
        Self { pdp, asked: 0 }
    }

    /// Whether an actor with this role may, for a target with these roles.
    fn may(&mut self, actor: &str, verb: &str, role: &str, targets: &[&str]) -> bool {
        self.asked += 1;
        let org = format!("org:o{}", self.asked);
        let held = targets.iter().map(|target| touch(&format!("{org}#{target}@user:bo")));
        let changes = held.chain([touch(&format!("{org}#{actor}@user:ana"))]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.pdp.write(changes)).unwrap();
        let reading = self.pdp.read();
        let (what, context) = (("user:ana", verb, role), CheckedContext::default());
        let question = DelegatedQuestion::parse(reading.model(), what, &org, "user:bo", context);
        let decision = reading.delegated(&question.unwrap()).unwrap();
        let reason = decision.reason();
        assert!(
            matches!(reason, Reason::Granted | Reason::NotDelegated),
            "{verb} {role}: {reason:?}"
        );
        decision.is_allow()
    }
}

/// A role of the same table that the actor does not hold.
fn another<'t>(table: &'t str, actor: &str) -> &'t str {
    let roles = table.lines().filter_map(|line| line.split(' ').next());
    roles.into_iter().find(|role| *role != actor).unwrap()
}

/// What differs, and how much was asked.
fn ask_all(name: &str, table: &str) -> (Counts, String) {
    let mut platform = Platform::new(name);
    let (mut counts, mut differences) = (Counts::default(), String::new());
    for line in table.lines() {
        let [actor, verb, target, allowed, gate] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let gives = platform.pdp.read().model().delegated_verb(verb).unwrap().op;
        let held: &[&str] = if gives == Some(DelegatedOp::Grant) { &[] } else { &[target] };
        let mut judge = |targets: &[&str], expected: bool| {
            counts.asked += 1;
            if platform.may(actor, verb, target, targets) == expected {
                counts.agreed += 1;
            } else {
                counts.different += 1;
                let _ =
                    writeln!(differences, "{line}: expected {expected}, target holds {targets:?}");
            }
        };
        judge(held, allowed == "1");
        match gate {
            "-" => {}
            // Not held: the target has a role besides that the actor lacks.
            "target_roles_within_actor_roles" => judge(&[target, another(table, actor)], false),
            other => panic!("no such gate is known: {other}"),
        }
    }
    (counts, differences)
}

#[test]
fn each_row_is_answered_as_the_table_says() {
    for (name, table, rows, allowed) in PLATFORMS {
        assert_eq!(table.lines().count(), rows, "{name}");
        let given = table.lines().filter(|line| line.split(' ').nth(3) == Some("1"));
        assert_eq!(given.count(), allowed, "{name}");
        let (counts, differences) = ask_all(name, table);
        println!("{name}: {counts:?}");
        assert_eq!(differences, "", "{name}");
        assert!(counts.asked >= rows && counts.agreed == counts.asked, "{name}: {counts:?}");
    }
}

/// A table with one row turned around is not what the model says: the comparison sees each row.
#[test]
fn a_row_turned_around_is_seen() {
    for (name, table, ..) in PLATFORMS {
        for row in [0, table.lines().count() / 2, table.lines().count() - 1] {
            let turn = |(i, line): (usize, &str)| {
                let mut words: Vec<&str> = line.split(' ').collect();
                if i == row {
                    words[3] = if words[3] == "1" { "0" } else { "1" };
                }
                words.join(" ")
            };
            let turned: Vec<String> = table.lines().enumerate().map(turn).collect();
            let (counts, differences) = ask_all(name, &turned.join("\n"));
            assert_eq!(counts.different, 1, "{name}: {differences}");
        }
    }
}

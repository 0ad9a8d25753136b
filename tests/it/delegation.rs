//! The delegated question in the engine: what the table says, how far it reaches, which gate stands where,
//! and the reason of each denial.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bailiwick::engine::{CheckedContext, DelegatedQuestion, QuestionError, Reason};
use bailiwick::model::form::Model;
use bailiwick::model::{ParameterValue, SourceFiles, load};
use bailiwick::pdp::{Clock, Pdp};
use bailiwick::store::memory::MemoryStore;

use crate::support::{SetClock, files_of, touch};

const MODEL: &str = "
model: delegated
parameters: { clerks_invite: false }
types:
  user: {}
  group: {}
  org: { parents: [org] }
  site: { parents: [org] }
facts:
  user: { flags: [installer] }
  org: { flags: [paid, closed] }
  site: { one_of: { product: [pro, go] }, flags: [locked] }
roles:
  - { at: [group], names: [member], bound_by: [user] }
  - { at: [org], names: [admin, clerk], bound_by: [user, 'user:*', 'group#member'] }
  - { at: [org, site], names: [guest], bound_by: [user] }
  - { at: [site], names: [owner], bound_by: [user] }
  - { at: [site], names: [service], bound_by: [user], gate: 'fact(product:pro)', gates: { service: 'standing(installer)' } }
delegation:
  file: delegation.csv
  verbs:
    invite: { op: grant, gate: 'yes except fact(closed)', roles: { owner: 'yes except fact(locked)' } }
    edit_role: { op: replace }
    remove: { op: revoke }
    block: {}
    unused: {}
";

const TABLE: &str = "\
scope,actor_role,verb,target_role,allowed,gate,basis
org,admin,invite,admin,1,,said
org,admin,invite,clerk,yes,paid,said
org,clerk,invite,guest,clerks_invite,,
,clerk@org,invite,guest@site,1,,
org,admin,invite,owner,x,,
site,owner,invite,guest,1,,
site,owner,invite,service,1,,
site,owner,invite,owner,0,,
org,admin,edit_role,service,1,,
org,admin,remove,service,1,,
org,clerk,remove,admin,-,,
org,clerk,block,admin,1,,
";

struct World {
    pdp: Pdp,
}

impl Drop for World {
    fn drop(&mut self) {
        self.pdp.close();
    }
}

fn files(model: &str, table: &str) -> SourceFiles {
    [("model.yaml", model), ("delegation.csv", table)].into_iter().collect()
}

fn compiled(parameters: &[(&str, bool)]) -> Model {
    let value = |(name, value): &(&str, bool)| ((*name).to_owned(), ParameterValue::Bool(*value));
    let parameters: BTreeMap<_, _> = parameters.iter().map(value).collect();
    load(&files(MODEL, TABLE), &parameters).unwrap_or_else(|problems| panic!("{problems}"))
}

impl World {
    fn new(model: Model, tuples: &[&str]) -> Self {
        let stored = files_of(&model);
        let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SetClock::default());
        let store = std::sync::Arc::new(MemoryStore::new());
        let world = Self { pdp: Pdp::open(store, model, stored, clock).unwrap() };
        if !tuples.is_empty() {
            let changes = tuples.iter().map(|tuple| touch(tuple)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(world.pdp.write(changes)).unwrap();
        }
        world
    }

    /// `actor verb role scope [target]`.
    fn question(&self, text: &str) -> Result<DelegatedQuestion, QuestionError> {
        let words: Vec<&str> = text.split(' ').collect();
        let target = words.get(4).copied().unwrap_or_default();
        let what = (words[0], words[1], words[2]);
        let context = CheckedContext::default();
        DelegatedQuestion::parse(self.pdp.read().model(), what, words[3], target, context)
    }

    fn ask(&self, text: &str) -> (Reason, Vec<String>) {
        let decision = self.pdp.read().delegated(&self.question(text).unwrap()).unwrap();
        assert_eq!(decision.is_allow(), decision.reason() == Reason::Granted);
        (decision.reason(), decision.missing().to_vec())
    }

    #[track_caller]
    fn all(&self, questions: &[(&str, Reason)]) {
        let mut found = String::new();
        for (question, reason) in questions {
            let answer = self.ask(question).0;
            if answer != *reason {
                let _ = writeln!(found, "{question}: {answer:?}, not {reason:?}");
            }
        }
        assert_eq!(found, "");
    }
}

const TUPLES: [&str; 15] = [
    "org:b#parent@org:a",
    "site:s#parent@org:b",
    "site:go#parent@org:b",
    "site:x#parent@org:z",
    "site:s#has@feature:product:pro",
    "site:go#has@feature:product:go",
    "org:a#admin@user:ana",
    "org:b#has@feature:paid",
    "org:b#admin@group:ops#member",
    "group:ops#member@user:gus",
    "org:b#clerk@user:cem",
    "site:s#owner@user:oda",
    "site:go#owner@user:oda",
    "site:x#owner@user:oda",
    "user:ina#has@feature:installer",
];

#[test]
fn the_table_decides_and_each_denial_says_why() {
    use Reason::{Granted, MissingContext, NotBindable, NotDelegated, TargetNotEligible};
    let world = World::new(compiled(&[]), &TUPLES);
    world.all(&[
        ("user:ana invite admin org:a user:bo", Granted),
        ("user:ana invite admin org:a", Granted),
        // Down as roles pass, never up nor across.
        ("user:ana invite admin org:b user:bo", Granted),
        ("user:gus invite admin org:b user:bo", Granted),
        ("user:gus invite admin org:a user:bo", NotDelegated),
        ("user:ana invite owner site:s user:bo", Granted),
        ("user:ana invite owner site:x user:bo", NotDelegated),
        ("user:cem invite guest site:s user:bo", Granted),
        // What no line says, what a line refuses, and what nobody is said to do.
        ("user:cem invite admin org:b user:bo", NotDelegated),
        ("user:cem remove admin org:b user:bo", NotDelegated),
        ("user:oda invite owner site:s user:bo", NotDelegated),
        ("user:ana unused admin org:a user:bo", NotDelegated),
        ("user:nobody invite admin org:a user:bo", NotDelegated),
        ("user:ana invite admin org:nowhere user:bo", NotDelegated),
        // A verb without an op is answered too.
        ("user:cem block admin org:b user:ana", Granted),
        // A role where it cannot be bound, or for whom.
        ("user:ana invite owner org:a user:bo", NotBindable),
        ("user:ana invite admin site:s user:bo", NotBindable),
        ("user:ana invite admin org:a org:z", NotBindable),
        ("user:ana invite admin org:a group:ops#member", Granted),
        // Never to everybody, though the role admits that; a verb that gives nothing may speak of them.
        ("user:ana invite admin org:a user:*", NotBindable),
        ("user:nobody invite admin org:a user:*", NotBindable),
        ("user:cem block admin org:b user:*", Granted),
        // The role's own gate, of the scope and of the target.
        ("user:oda invite service site:s user:ina", Granted),
        ("user:oda invite service site:s user:bo", TargetNotEligible),
        ("user:oda invite service site:go user:ina", NotBindable),
        ("user:oda invite service site:x user:ina", MissingContext),
        ("user:oda invite service site:s", MissingContext),
        // The actor comes first: who may not is told nothing of the target.
        ("user:cem invite service site:s user:bo", NotDelegated),
        // Taking asks nothing of who loses.
        ("user:ana remove service site:s user:bo", Granted),
        ("user:ana edit_role service site:s user:bo", TargetNotEligible),
    ]);
    assert_eq!(world.ask("user:oda invite service site:s").1, ["target"]);
    assert_eq!(world.ask("user:oda invite service site:x user:ina").1, ["fact:product:pro"]);
    let taking = world.question("user:ana edit_role service site:s user:bo").unwrap().taking();
    assert!(world.pdp.read().delegated(&taking).unwrap().is_allow());
}

#[test]
fn a_cells_gate_stands_where_the_actor_is_bound_and_a_verbs_where_it_is_asked() {
    use Reason::{Granted, NotDelegated};
    let world = World::new(compiled(&[]), &TUPLES);
    // `paid` of org:b, where the group holds admin; ana's stands at org:a, which is not paid.
    world.all(&[
        ("user:gus invite clerk org:b user:bo", Granted),
        ("user:ana invite clerk org:b user:bo", NotDelegated),
        ("user:ana invite clerk org:a user:bo", NotDelegated),
    ]);
    let closed =
        [&TUPLES[..], &["org:b#has@feature:closed", "site:go#has@feature:locked"]].concat();
    let world = World::new(compiled(&[]), &closed);
    world.all(&[
        ("user:ana invite admin org:b user:bo", NotDelegated),
        ("user:ana invite admin org:a user:bo", Granted),
        // The fact of the nearest organization above the site asked.
        ("user:ana invite owner site:s user:bo", NotDelegated),
    ]);
    let locked = [&TUPLES[..], &["site:s#has@feature:locked"]].concat();
    let world = World::new(compiled(&[]), &locked);
    world.all(&[
        ("user:ana invite owner site:s user:bo", NotDelegated),
        ("user:ana invite owner site:go user:bo", Granted),
        ("user:oda invite guest site:s user:bo", Granted),
    ]);
}

#[test]
fn a_parameter_flips_a_cell() {
    let question = "user:cem invite guest org:b user:bo";
    for (value, reason) in [(false, Reason::NotDelegated), (true, Reason::Granted)] {
        let world = World::new(compiled(&[("clerks_invite", value)]), &TUPLES);
        world.all(&[(question, reason)]);
    }
}

#[test]
fn what_the_model_does_not_have_is_an_error_and_never_a_denial() {
    let world = World::new(compiled(&[]), &TUPLES);
    for (question, words) in [
        (
            "user:ana invit admin org:a",
            "verb: the model has no verb `invit`; did you mean `invite`?",
        ),
        ("user:ana invite amin org:a", "role: the model has no role `amin`; did you mean `admin`?"),
        ("user:ana invite parent org:a", "role: the model has no role `parent`"),
        ("usr:ana invite admin org:a", "actor: the model has no type `usr`; did you mean `user`?"),
        ("user:ana invite admin ogr:a", "scope: the model has no type `ogr`; did you mean `org`?"),
        (
            "user:ana invite admin org:a group:g#membr",
            "target: the model has no name `membr`; did you mean `member`?",
        ),
        ("ana invite admin org:a", "actor: `ana` is not an object `type:id`: there is no `:`"),
        (
            "user:ana ! admin org:a",
            "verb: `!` is not a name: it must begin with a letter from A to Z",
        ),
    ] {
        assert_eq!(world.question(question).unwrap_err().to_string(), words);
    }
}

#[test]
fn a_later_model_denies_what_it_lacks() {
    let asked = World::new(compiled(&[]), &TUPLES);
    let questions = [
        ("user:ana invite admin org:a user:bo", Reason::NotDelegated),
        ("user:oda invite guest site:s user:bo", Reason::NotBindable),
    ];
    let later = "
model: later
types: { user: {}, org: {} }
roles: [ { at: [org], names: [admin] } ]
";
    let later = load(&files(later, ""), &BTreeMap::new()).unwrap();
    let later = World::new(later, &["org:a#admin@user:ana"]);
    for (question, reason) in questions {
        let question = asked.question(question).unwrap();
        assert!(asked.pdp.read().delegated(&question).unwrap().is_allow());
        assert_eq!(later.pdp.read().delegated(&question).unwrap().reason(), reason);
    }
}

#[test]
fn the_compiled_table_is_the_file_and_counts_in_the_digest() {
    let model = compiled(&[]);
    let delegation = &model.delegation;
    let verbs: Vec<&str> = delegation.verbs.iter().map(|verb| verb.name.as_str()).collect();
    assert_eq!(verbs, ["invite", "edit_role", "remove", "block", "unused"]);
    assert_eq!(model.files, ["delegation.csv", "model.yaml"]);
    // A row without a cell that is given is nobody's.
    let given: Vec<usize> = delegation.verbs.iter().map(|verb| verb.rows.len()).collect();
    assert_eq!(given, [5, 1, 1, 1, 0]);
    assert_eq!(delegation.rows.len(), 10);
    let other = files(MODEL, &TABLE.replace("admin,invite,admin,1", "admin,invite,admin,0"));
    assert_ne!(load(&other, &BTreeMap::new()).unwrap().digest, model.digest);
}

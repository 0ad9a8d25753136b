//! Asks each row of the platforms' delegation tables of a running service: the actor holds just that role,
//! the target just the target's (none, where it is invited). A row under a gate is asked with the gate held,
//! and not held; a pair that cannot be bound counts as a denial. `golden/delegation.csv` is the table.
#![expect(clippy::print_stdout, reason = "a run says what it counted")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::{self, SourceFiles};
use bailiwick::pdp::Pdp;
use bailiwick::store::memory::MemoryStore;
use pb::delegation_service_client::DelegationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::service::Service;
use crate::support::{SetClock, files_of};

const TABLE: &str = include_str!("golden/delegation.csv");

/// The platform, how many rows it has, and how many of them are allowed.
const PLATFORMS: [(&str, usize, usize); 5] = [
    ("powerhub", 27, 9),
    ("energyhub", 147, 42),
    ("chargeplatform", 471, 65),
    ("zaptec", 18, 6),
    ("virta", 98, 28),
];

/// The verbs whose target has no role yet.
const INVITING: [&str; 3] = ["add", "invite", "grant"];
/// The roles of each kind of scope of the charge platform, where they can be bound at one alone.
const TENANT_ROLES: [&str; 7] = [
    "tenant_admin",
    "customer_support",
    "technical_support",
    "support_agent",
    "branding_specialist",
    "billing_plan_admin",
    "roaming_admin",
];
const SUB_ACCOUNT_ROLES: [&str; 2] = ["sub_account_owner", "driver"];

#[derive(Debug, Clone)]
struct Row {
    scope: String,
    actor: String,
    verb: String,
    target: String,
    allowed: bool,
    gate: String,
}

fn rows_of(platform: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
    let records = reader.records().map(Result::unwrap).filter(|record| &record[0] == platform);
    let row = |record: csv::StringRecord| Row {
        scope: record[1].to_owned(),
        actor: record[2].to_owned(),
        verb: record[3].to_owned(),
        target: record[4].to_owned(),
        allowed: &record[5] == "1",
        gate: record[6].to_owned(),
    };
    records.map(row).collect()
}

/// What a question is asked over.
#[derive(Default)]
struct World {
    /// Features and the hierarchy.
    facts: Vec<String>,
    actor_at: String,
    /// Where the target's role is or would be bound.
    target_at: String,
    /// Roles that the target has there beside the row's.
    more: Vec<String>,
}

/// The scopes of a question, as its platform has them, with the row's gate held or not.
fn world(platform: &str, row: &Row, id: &str, held: bool) -> World {
    let mut world = World::default();
    let at = |kind: &str| format!("{kind}:{id}");
    let has = |object: String, feature: &str| format!("{object}#has@feature:{feature}");
    let target = format!("user:target-{id}");
    match platform {
        "powerhub" => {
            let state = if held { "account:none" } else { "account:attached" };
            world.facts.extend([has(at("instance"), state), has(target, "tesla_account")]);
            (world.actor_at, world.target_at) = (at("instance"), at("instance"));
        }
        "zaptec" => {
            world.facts.extend([
                has(at("installation"), "product:pro"),
                format!("{}#parent@{}", at("charger"), at("installation")),
            ]);
            if held {
                world.facts.push(has(target, "service_partner"));
            }
            (world.actor_at, world.target_at) = (at(&row.scope), at(&row.scope));
        }
        "chargeplatform" => {
            world.facts.extend([
                format!("{}#parent@{}", at("account"), at("tenant")),
                format!("{}#parent@{}", at("sub_account"), at("account")),
            ]);
            if held {
                world.facts.push(has(at("account"), "feature:business"));
            }
            let target = row.target.as_str();
            let below = match row.scope.as_str() {
                "tenant" if TENANT_ROLES.contains(&target) => "tenant",
                "tenant" | "account" if SUB_ACCOUNT_ROLES.contains(&target) => "sub_account",
                "tenant" => "account",
                scope => scope,
            };
            (world.actor_at, world.target_at) = (at(&row.scope), at(below));
        }
        _ => {
            (world.actor_at, world.target_at) = (at("org"), at("org"));
            if !held {
                // A role that the actor lacks, beside those that it may have.
                let lacks = if row.actor == "user" { "technician" } else { "user" };
                world.more.push(lacks.to_owned());
            }
        }
    }
    world
}

struct Platform {
    name: &'static str,
    asked: usize,
    tuples: TupleServiceClient<Channel>,
    delegation: DelegationServiceClient<Channel>,
    _service: Service,
}

impl Platform {
    async fn new(name: &'static str) -> Self {
        let open = move || {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
            let files = SourceFiles::read_dir(&dir).unwrap();
            let model = model::load(&files, &BTreeMap::new()).unwrap();
            let files = files_of(&model);
            let clock = Arc::new(SetClock::default());
            Ok(Pdp::open(Arc::new(MemoryStore::new()), model, files, clock)?)
        };
        let service = Service::open(Box::new(open)).await;
        service.wait_until(ServingStatus::Serving).await;
        let channel = service.channel().await;
        let (tuples, delegation) =
            (TupleServiceClient::new(channel.clone()), DelegationServiceClient::new(channel));
        Self { name, asked: 0, tuples, delegation, _service: service }
    }

    /// Stores these; whether the model admits them.
    async fn stored(&mut self, tuples: &[String]) -> bool {
        let change = |text: &String| {
            let (scope, rest) = text.split_once('#').unwrap();
            let (role, subject) = rest.split_once('@').unwrap();
            let (scope, role, subject) = (scope.into(), role.into(), subject.into());
            let tuple = pb::Tuple { scope, role, subject, ..Default::default() };
            pb::TupleChange { operation: pb::Operation::Touch.into(), tuple: Some(tuple) }
        };
        let changes = tuples.iter().map(change).collect();
        let request = pb::WriteTuplesRequest { changes, ..Default::default() };
        match self.tuples.write_tuples(request).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{tuples:?}: {status}");
                false
            }
        }
    }

    async fn may(&mut self, row: &Row, held: bool) -> bool {
        self.asked += 1;
        let id = format!("q{}", self.asked);
        let world = world(self.name, row, &id, held);
        if !world.facts.is_empty() {
            assert!(self.stored(&world.facts).await, "{:?}", world.facts);
        }
        let actor = format!("user:actor-{id}");
        let target = format!("user:target-{id}");
        if !self.stored(&[format!("{}#{}@{actor}", world.actor_at, row.actor)]).await {
            return false;
        }
        let mut has = world.more;
        if !INVITING.contains(&row.verb.as_str()) {
            has.push(row.target.clone());
        }
        let bound: Vec<String> =
            has.iter().map(|role| format!("{}#{role}@{target}", world.target_at)).collect();
        if !bound.is_empty() && !self.stored(&bound).await {
            return false;
        }
        let request = pb::CanGrantRequest {
            actor,
            verb: row.verb.clone(),
            role: row.target.clone(),
            scope: world.target_at,
            target,
            ..Default::default()
        };
        let answer = self.delegation.can_grant(request).await.unwrap().into_inner();
        answer.decision() == pb::Decision::Allow
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    asked: usize,
    agreed: usize,
    different: usize,
}

async fn ask_all(name: &'static str, rows: &[Row]) -> (Counts, String) {
    let mut platform = Platform::new(name).await;
    let (mut counts, mut differences) = (Counts::default(), String::new());
    for row in rows {
        let both = if row.gate.is_empty() { &[true][..] } else { &[true, false] };
        for &held in both {
            let expected = row.allowed && held;
            counts.asked += 1;
            if platform.may(row, held).await == expected {
                counts.agreed += 1;
            } else {
                counts.different += 1;
                let _ = writeln!(differences, "{row:?}, gate held: {held}: expected {expected}");
            }
        }
    }
    (counts, differences)
}

#[tokio::test]
async fn each_row_is_answered_as_the_table_says() {
    let (mut rows_asked, mut total) = (0, Counts::default());
    for (name, count, allowed) in PLATFORMS {
        let rows = rows_of(name);
        let given = rows.iter().filter(|row| row.allowed).count();
        assert_eq!((rows.len(), given), (count, allowed), "{name}");
        let (counts, differences) = ask_all(name, &rows).await;
        println!("{name}: {} rows, {counts:?}", rows.len());
        assert_eq!(differences, "", "{name}");
        rows_asked += rows.len();
        total.asked += counts.asked;
        total.agreed += counts.agreed;
    }
    println!("together: {rows_asked} rows, {total:?}");
    assert_eq!(rows_asked, 761);
    assert_eq!(total.asked, total.agreed);
    let gated = PLATFORMS.iter().flat_map(|(name, ..)| rows_of(name));
    assert_eq!(total.asked, 761 + gated.filter(|row| !row.gate.is_empty()).count());
}

/// A table with one row turned around is not what the model says: the comparison sees each kind of row.
#[tokio::test]
async fn a_row_turned_around_is_seen() {
    for (name, ..) in PLATFORMS {
        let rows = rows_of(name);
        let mut kinds = BTreeSet::new();
        let new = |row: &&Row| kinds.insert((row.verb.clone(), row.allowed, row.gate.clone()));
        let one_of_each: Vec<Row> = rows.iter().filter(new).cloned().collect();
        for i in 0..one_of_each.len() {
            let mut turned = one_of_each.clone();
            turned[i].allowed = !turned[i].allowed;
            let (counts, differences) = ask_all(name, &turned).await;
            assert_eq!(counts.different, 1, "{name}: {differences}");
        }
    }
}

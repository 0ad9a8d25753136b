//! CanGrant and ListGrantableRoles: what a change would be answered, without making it.

use bailiwick::api::pb::v1 as pb;
use tonic::Code;

use super::{World, can};
use crate::support::service::assert_refused;
use crate::wire::client::{change, context, touch, tuple};

const WORLD: [&str; 4] = [
    "org:acme#admin@user:adi",
    "org:acme#admin@user:adam",
    "org:acme#payer@user:pia",
    "station:s1#parent@org:acme",
];

#[tokio::test]
async fn a_denial_is_an_answer_with_its_reason() {
    let mut world = World::new(&WORLD).await;
    let sourced = pb::Tuple { source: "idp".into(), ..tuple("org:acme#payer@user:sam") };
    let office = pb::TupleCondition { name: "office".into(), context: None };
    let conditional = pb::Tuple { condition: Some(office), ..tuple("org:acme#payer@user:cay") };
    let touched = [sourced, conditional].map(|tuple| change(pb::Operation::Touch, tuple));
    world.wire.write(touched.into()).await.unwrap();
    let before = world.pdp.read().token().revision.0;
    use pb::Reason as R;
    for (question, reason) in [
        ("user:ana invite payer org:acme", R::Granted),
        ("user:ana invite payer org:acme user:bo", R::Granted),
        ("user:ana invite payer org:acme user:pia", R::Granted),
        ("user:ana block payer org:acme user:pia", R::Granted),
        ("user:ana remove payer org:acme user:nobody", R::Granted),
        ("user:ana change payer org:acme", R::Granted),
        ("user:adi block payer org:acme user:pia", R::NotDelegated),
        ("user:eve invite payer org:acme user:bo", R::NotDelegated),
        ("user:ana invite keeper org:acme", R::NotBindable),
        ("user:ana invite installer station:s1 user:bo", R::TargetNotEligible),
        ("user:ana remove payer org:acme user:sam", R::TargetHasSource),
        ("user:ana invite payer org:acme user:cay", R::HeldOnOtherTerms),
        ("user:ana invite approver org:acme user:pia", R::ConstraintExclusive),
        ("user:ana invite approver org:acme", R::Granted),
        ("user:ana invite admin org:acme user:bo", R::ConstraintAtMost),
        ("user:ana remove owner org:acme user:ana", R::ConstraintKeepOne),
    ] {
        let answer = world.can(can(question)).await.expect(question);
        assert_eq!(answer.reason(), reason, "{question}");
        let allowed = reason == R::Granted;
        assert_eq!(answer.decision() == pb::Decision::Allow, allowed, "{question}");
        assert_eq!(answer.message.is_empty(), allowed, "{question}: {}", answer.message);
        assert_eq!((answer.revision, answer.missing.len()), (before, 0), "{question}");
    }
    for (question, missing) in [
        ("user:ana invite guest org:acme", "hour"),
        ("user:ana invite installer station:s1", "target"),
    ] {
        let answer = world.can(can(question)).await.unwrap();
        assert_eq!(
            (answer.reason(), &*answer.missing),
            (R::MissingContext, &[missing.to_owned()][..])
        );
    }
    let mut guest = can("user:ana invite guest org:acme");
    guest.context = context("{\"hour\": 9}");
    assert_eq!(world.can(guest).await.unwrap().decision(), pb::Decision::Allow);
    for (new_role, target, reason) in [
        ("approver", "user:pia", R::Granted),
        ("approver", "", R::Granted),
        ("guest", "", R::NotDelegated),
        ("approver", "user:bo", R::RoleNotHeld),
        ("admin", "user:pia", R::ConstraintAtMost),
    ] {
        let mut question = can("user:ana change payer org:acme");
        (question.new_role, question.target) = (new_role.into(), target.into());
        assert_eq!(world.can(question).await.unwrap().reason(), reason, "{new_role} {target}");
    }
    assert_eq!(world.pdp.read().token().revision.0, before, "a question wrote something");
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error() {
    let mut world = World::new(&WORLD).await;
    for (question, reason, field) in [
        ("user:ana invit payer org:acme", "UNKNOWN_VERB", "verb"),
        ("user:ana invite pyer org:acme", "UNKNOWN_ROLE", "role"),
        ("user:ana invite payer ogr:acme", "UNKNOWN_TYPE", "scope"),
        ("user:ana invite payer org:acme usr:bo", "UNKNOWN_TYPE", "target"),
    ] {
        let status = world.can(can(question)).await.expect_err(question);
        assert_refused(&status, Code::InvalidArgument, reason, field);
        assert!(status.message().contains("did you mean"), "{status:?}");
    }
    for (verb, new_role, reason) in [
        ("invite", "approver", "INVALID_FIELD"),
        ("block", "approver", "INVALID_FIELD"),
        ("change", "payer", "INVALID_FIELD"),
        ("change", "aprover", "UNKNOWN_ROLE"),
    ] {
        let mut question = can(&format!("user:ana {verb} payer org:acme"));
        question.new_role = new_role.into();
        let status = world.can(question).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, "new_role");
    }
}

fn list(actor: &str, scope: &str, target: &str) -> pb::ListGrantableRolesRequest {
    pb::ListGrantableRolesRequest {
        actor: actor.into(),
        scope: scope.into(),
        target: target.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_roles_that_an_actor_may_grant_are_listed() {
    let mut world = World::new(&WORLD).await;
    for (actor, scope, target, roles, undecided) in [
        (
            "user:ana",
            "org:acme",
            "",
            &["owner", "admin", "payer", "approver"][..],
            &[("guest", "hour")][..],
        ),
        ("user:ana", "org:acme", "user:bo", &["owner", "payer", "approver"], &[("guest", "hour")]),
        ("user:ana", "org:acme", "user:pia", &["owner", "payer"], &[("guest", "hour")]),
        ("user:adi", "org:acme", "", &["payer"], &[]),
        ("user:eve", "org:acme", "", &[], &[]),
        ("user:ana", "station:s1", "", &["keeper"], &[("installer", "target")]),
        ("user:ana", "station:s1", "user:bo", &["keeper"], &[]),
        ("user:ana", "group:g", "", &[], &[]),
    ] {
        let request = list(actor, scope, target);
        let answer = world.roles.list_grantable_roles(request).await.unwrap().into_inner();
        assert_eq!(answer.roles, roles, "{actor} {scope} {target}");
        let found =
            answer.undecided.iter().map(|role| (role.role.as_str(), role.missing[0].as_str()));
        assert_eq!(found.collect::<Vec<_>>(), undecided, "{actor} {scope} {target}");
    }
    for (request, field) in [
        (list("usr:ana", "org:acme", ""), "actor"),
        (list("user:ana", "ogr:acme", ""), "scope"),
        (list("user:ana", "org:acme", "usr:x"), "target"),
    ] {
        let status = world.roles.list_grantable_roles(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "UNKNOWN_TYPE", field);
    }
}

#[tokio::test]
async fn a_question_may_ask_at_an_earlier_revision() {
    let mut world = World::new(&WORLD).await;
    let earlier = world.can(can("user:adi invite payer org:acme")).await.unwrap();
    let taken = change(pb::Operation::Delete, tuple("org:acme#admin@user:adi"));
    world.wire.write(vec![taken, touch("org:acme#admin@user:new")]).await.unwrap();
    let mut question = can("user:adi invite payer org:acme");
    assert_eq!(world.can(question.clone()).await.unwrap().reason(), pb::Reason::NotDelegated);
    let exactly = pb::consistency::Requirement::Exactly(earlier.token.clone());
    question.consistency = Some(pb::Consistency { requirement: Some(exactly) });
    assert_eq!(world.can(question).await.unwrap(), earlier);
}

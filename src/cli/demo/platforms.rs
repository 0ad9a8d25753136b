//! What the demo serves and asks: the two platforms' models, embedded, with a small world each. Data
//! only.

/// One platform: its model, its tuples, and what is asked.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) title: &'static str,
    /// The model directory's files.
    pub(super) files: &'static [(&'static str, &'static str)],
    pub(super) tuples: &'static [&'static str],
    pub(super) asks: &'static [Ask],
    pub(super) examples: Examples,
}

/// A question and the answer that the policy gives.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) subject: &'static str,
    pub(super) permission: &'static str,
    pub(super) scope: &'static str,
    pub(super) expected: Expected,
    /// For anything but an ALLOW: what is missing, in the policy's words.
    pub(super) why: &'static str,
}

/// What the service must answer, or the demo has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Allow,
    /// With this reason.
    Deny(&'static str),
    /// An error with this reason code.
    Refused(&'static str),
}

/// What makes good examples for the reader's own calls.
#[derive(Debug)]
pub(super) struct Examples {
    /// Subject, permission, scope.
    pub(super) allowed: [&'static str; 3],
    /// Permission, scope.
    pub(super) listed: [&'static str; 2],
    /// Scope, role, subject.
    pub(super) written: [&'static str; 3],
}

const fn allow(subject: &'static str, permission: &'static str, scope: &'static str) -> Ask {
    Ask { subject, permission, scope, expected: Expected::Allow, why: "" }
}

const fn deny(
    subject: &'static str,
    permission: &'static str,
    scope: &'static str,
    why: &'static str,
) -> Ask {
    Ask { subject, permission, scope, expected: Expected::Deny("NOT_GRANTED"), why }
}

/// The platforms, in the order of their ports.
pub(super) const PLATFORMS: [Platform; 2] = [ENERGY_HUB, VIRTA];

const ENERGY_HUB: Platform = Platform {
    title: "Energy Hub: a role says what, an access permission says which data",
    files: &[
        ("model.yaml", include_str!("../../../models/energyhub/model.yaml")),
        ("permissions.csv", include_str!("../../../models/energyhub/permissions.csv")),
        ("delegation.csv", include_str!("../../../models/energyhub/delegation.csv")),
    ],
    tuples: &[
        "location:plant1#parent@org:acme",
        "location:plant2#parent@org:acme",
        "location:site9#parent@org:globex",
        "org:acme#admin@user:ana",
        "org:acme#data_access@user:ana",
        "org:acme#engineer@user:eve",
        "access:plant1-only#holder@user:eve",
        "location:plant1#data_access@access:plant1-only#holder",
        "org:acme#location_access@access:plant1-only#holder",
        "org:acme#viewer@user:vic",
        "org:acme#data_access@user:vic",
        "org:acme#operator@user:oda",
    ],
    asks: &[
        allow("user:ana", "users.create", "org:acme"),
        allow("user:eve", "alarms.create", "location:plant1"),
        deny("user:eve", "alarms.create", "location:plant2", "access to the data of plant2"),
        allow("user:vic", "alarms.view", "location:plant2"),
        deny("user:vic", "alarms.create", "location:plant2", "a role above viewer"),
        deny("user:oda", "alarms.view", "location:plant1", "access to any data"),
        deny("user:ana", "alarms.view", "location:site9", "a role and access in globex"),
        Ask {
            subject: "user:ana",
            permission: "users.create",
            scope: "location:plant1",
            expected: Expected::Deny("NOT_APPLICABLE"),
            why: "users are created in an org",
        },
    ],
    examples: Examples {
        allowed: ["user:eve", "alarms.create", "location:plant1"],
        listed: ["alarms.view", "location:plant1"],
        written: ["org:acme", "data_access", "user:oda"],
    },
};

/// `my_organization.resellers.edit_suborganization_modules`, too long for a line of code.
const EDIT_MODULES: &str = "my_organization.resellers.edit_suborganization_modules";

const VIRTA: Platform = Platform {
    title: "Virta: a role and the organization's module make a decision",
    files: &[
        ("model.yaml", include_str!("../../../models/virta/model.yaml")),
        ("permissions.csv", include_str!("../../../models/virta/permissions.csv")),
        ("delegation.csv", include_str!("../../../models/virta/delegation.csv")),
    ],
    tuples: &[
        "station:s1#parent@org:acme",
        "org:acme-child#parent@org:acme",
        "org:acme#has@feature:module:stations/find",
        "org:acme#has@feature:module:stations/manage",
        "org:acme#has@feature:module:stations/energy",
        "org:acme#has@feature:module:my_organization/resellers",
        "org:acme#has@feature:paid:solar",
        "org:acme#administrator@user:ada",
        "org:acme#technician@user:tom",
        "org:acme#charging_manager@user:cem",
        "org:acme#user@user:uma",
    ],
    asks: &[
        allow("user:uma", "stations.find.list", "station:s1"),
        allow("user:tom", "stations.manage.change_configuration", "station:s1"),
        deny(
            "user:cem",
            "stations.manage.change_configuration",
            "station:s1",
            "the role technician",
        ),
        allow("user:tom", "stations.energy.edit_solar", "station:s1"),
        deny(
            "user:tom",
            "stations.energy.edit_priority",
            "station:s1",
            "the paid feature `priority`",
        ),
        deny("user:ada", "stations.logs.search", "station:s1", "the module stations/logs"),
        allow("user:cem", EDIT_MODULES, "org:acme-child"),
        deny("user:cem", EDIT_MODULES, "org:acme", "the role in the organization above"),
        deny("user:tom", "stations.find.list", "org:acme-child", "a role in acme-child"),
        Ask {
            subject: "user:tom",
            permission: "stations.find.lst",
            scope: "station:s1",
            expected: Expected::Refused("UNKNOWN_PERMISSION"),
            why: "a misspelt name is never a denial",
        },
    ],
    examples: Examples {
        allowed: ["user:tom", "stations.energy.edit_solar", "station:s1"],
        listed: ["stations.find.list", "station:s1"],
        written: ["org:acme", "charging_manager", "user:uma"],
    },
};

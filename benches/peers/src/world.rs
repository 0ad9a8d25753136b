//! Who holds what where, and the questions: computed from numbers, so that a world of ten million tuples
//! takes no memory beside the peer that holds it, and every run and every peer gets the same. Decides each
//! question itself, in the plainest way: that is what the peers have to agree with.

use crate::matrix::Matrix;

/// Tuples of one organization: a parent for each location, two roles for each user.
pub(crate) const ORG_TUPLES: u64 = LOCATIONS + USERS * BINDINGS;
const LOCATIONS: u64 = 250;
const USERS: u64 = 125;
const BINDINGS: u64 = 2;
/// The first location of each level below the organization: 4 regions, 16 sites, 64 buildings, 166 floors.
const LEVELS: [u64; 5] = [0, 4, 20, 84, LOCATIONS];

/// Something that roles are bound on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Org(u64),
    Location { org: u64, number: u64 },
}

impl Scope {
    /// What it lies in, if in anything.
    pub(crate) fn parent(self) -> Option<Self> {
        let Self::Location { org, number } = self else { return None };
        let [_, sites, buildings, floors, _] = LEVELS;
        let above = |number| Some(Self::Location { org, number });
        match number {
            at if at < sites => Some(Self::Org(org)),
            at if at < buildings => above((at - sites) / 4),
            at if at < floors => above(sites + (at - buildings) / 4),
            at => above(buildings + (at - floors) % (floors - buildings)),
        }
    }

    /// It, and all that it lies in, from below.
    pub(crate) fn upwards(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |scope| scope.parent())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Org(org) => write!(f, "org:o{org}"),
            Self::Location { org, number } => write!(f, "location:o{org}-{number}"),
        }
    }
}

/// One of the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    org: u64,
    number: u64,
}

impl User {
    /// What is bound for them: a role, by its place in the matrix, and where.
    pub(crate) fn bindings(self, roles: usize) -> [(usize, Scope); 2] {
        let mut random = fastrand::Rng::with_seed(self.org * USERS + self.number);
        let first = anywhere(&mut random, self.org);
        let mut second = anywhere(&mut random, self.org);
        while second == first {
            second = anywhere(&mut random, self.org);
        }
        [(random.usize(..roles), first), (random.usize(..roles), second)]
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user:o{}-u{}", self.org, self.number)
    }
}

/// A tenth on the organization, the others the more the deeper.
fn anywhere(random: &mut fastrand::Rng, org: u64) -> Scope {
    let [_, sites, buildings, floors, end] = LEVELS;
    let number = match random.u8(..20) {
        0 | 1 => return Scope::Org(org),
        2..5 => random.u64(..sites),
        5..10 => random.u64(sites..buildings),
        10..15 => random.u64(buildings..floors),
        _ => random.u64(floors..end),
    };
    Scope::Location { org, number }
}

/// One question, with the answer.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// `user:o1-u7`.
    pub(crate) user: String,
    /// Its place in the matrix.
    pub(crate) permission: usize,
    /// `location:o1-17`.
    pub(crate) scope: String,
    /// The roles that the user holds there, here or above: for those who must be told.
    pub(crate) held: Vec<usize>,
    pub(crate) allowed: bool,
}

/// So many organizations, each with its tree of locations and its users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    orgs: u64,
}

impl World {
    /// The world of so many tuples, rounded up to whole organizations.
    pub(crate) fn of(tuples: u64) -> Self {
        Self { orgs: tuples.div_ceil(ORG_TUPLES).max(1) }
    }

    pub(crate) fn tuples(self) -> u64 {
        self.orgs * ORG_TUPLES
    }

    pub(crate) fn orgs(self) -> impl Iterator<Item = Scope> {
        (0..self.orgs).map(Scope::Org)
    }

    /// Every location, each after what it lies in.
    pub(crate) fn locations(self) -> impl Iterator<Item = Scope> {
        let of = |org| (0..LOCATIONS).map(move |number| Scope::Location { org, number });
        (0..self.orgs).flat_map(of)
    }

    pub(crate) fn users(self) -> impl Iterator<Item = User> {
        let of = |org| (0..USERS).map(move |number| User { org, number });
        (0..self.orgs).flat_map(of)
    }

    /// Every tuple: the organizations one after the other, each with its parents first.
    pub(crate) fn written<'m>(self, matrix: &'m Matrix) -> impl Iterator<Item = Written<'m>> {
        (0..self.orgs).flat_map(move |org| {
            let locations = (0..LOCATIONS).map(move |number| Scope::Location { org, number });
            let parents = locations.filter_map(|scope| {
                let parent = scope.parent()?;
                Some(Written { scope, role: "parent", subject: parent.to_string() })
            });
            let users = (0..USERS).map(move |number| User { org, number });
            let bound = users.flat_map(move |user| {
                let bindings = user.bindings(matrix.roles.len()).into_iter();
                bindings.filter_map(move |(role, scope)| {
                    let role = matrix.roles.get(role)?;
                    Some(Written { scope, role, subject: user.to_string() })
                })
            });
            parents.chain(bound)
        })
    }

    /// So many questions, from a seed: nine in ten in the user's own organization, half of those below
    /// something that the user has a role on.
    pub(crate) fn questions(self, matrix: &Matrix, many: usize) -> Vec<Question> {
        let mut random = fastrand::Rng::with_seed(11);
        (0..many).map(|_| self.question(matrix, &mut random)).collect()
    }

    fn question(self, matrix: &Matrix, random: &mut fastrand::Rng) -> Question {
        let user = User { org: random.u64(..self.orgs), number: random.u64(..USERS) };
        let bindings = user.bindings(matrix.roles.len());
        let location = |org, random: &mut fastrand::Rng| Scope::Location {
            org,
            number: random.u64(..LOCATIONS),
        };
        let scope = match random.u8(..20) {
            0 | 1 => location(random.u64(..self.orgs), random),
            2..11 => location(user.org, random),
            _ => {
                let (_, above) = bindings[random.usize(..bindings.len())];
                let below = (0..1_000).map(|_| location(user.org, random));
                let mut below = below.filter(|scope| scope.upwards().any(|at| at == above));
                below.next().unwrap_or(above)
            }
        };
        let permission = random.usize(..matrix.permissions.len());
        let bound_above = |(_, at): &(usize, Scope)| scope.upwards().any(|above| above == *at);
        let mut held: Vec<usize> =
            bindings.into_iter().filter(bound_above).map(|(role, _)| role).collect();
        held.sort_unstable();
        held.dedup();
        let allowed = held.iter().any(|role| matrix.gives(*role, permission));
        Question { user: user.to_string(), permission, scope: scope.to_string(), held, allowed }
    }
}

/// One tuple: `scope#role@subject`.
#[derive(Debug)]
pub(crate) struct Written<'m> {
    pub(crate) scope: Scope,
    pub(crate) role: &'m str,
    pub(crate) subject: String,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn matrix() -> Matrix {
        Matrix::read(&crate::matrix_path(std::path::Path::new(crate::ROOT))).unwrap()
    }

    #[test]
    fn the_tuples_are_as_many_as_said_and_each_there_once() {
        let (matrix, world) = (matrix(), World::of(1_400));
        let texts: HashSet<String> = world
            .written(&matrix)
            .map(|tuple| format!("{}#{}@{}", tuple.scope, tuple.role, tuple.subject))
            .collect();
        assert_eq!(texts.len() as u64, world.tuples());
        assert_eq!(world.tuples(), 1_500);
    }

    #[test]
    fn every_location_lies_at_most_four_levels_below_its_organization() {
        for location in World::of(1).locations() {
            assert!(location.upwards().count() <= LEVELS.len());
            assert_eq!(location.upwards().last(), Some(Scope::Org(0)));
        }
    }

    /// The answers once more, from the tuples as text alone.
    #[test]
    fn the_answers_follow_from_the_tuples() {
        let (matrix, world) = (matrix(), World::of(1_000));
        let tuples: HashSet<(String, String, String)> = world
            .written(&matrix)
            .map(|tuple| (tuple.scope.to_string(), tuple.role.to_owned(), tuple.subject))
            .collect();
        let questions = world.questions(&matrix, 2_000);
        for question in &questions {
            let mut scopes = vec![question.scope.clone()];
            while let Some((_, _, parent)) = tuples
                .iter()
                .find(|(scope, role, _)| role == "parent" && Some(scope) == scopes.last())
            {
                scopes.push(parent.clone());
            }
            let held = |role: &str| {
                scopes.iter().any(|scope| {
                    tuples.contains(&(scope.clone(), role.to_owned(), question.user.clone()))
                })
            };
            let allowed = matrix.givers(question.permission).any(held);
            assert_eq!(allowed, question.allowed, "{question:?}");
        }
        let allowed = questions.iter().filter(|question| question.allowed).count();
        assert!((400..1_600).contains(&allowed), "{allowed} of 2,000 are allowed");
    }
}

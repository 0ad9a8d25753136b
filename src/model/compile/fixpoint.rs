//! The rule that a fixpoint must exist: no name depends on itself through the right side of `except`.
//! DESIGN names the one exception. And the rule that nothing under the right side of `except` asks linked
//! subjects, be it through names. Knows the general form only.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::draft::Draft;
use super::lift::Defs;
use crate::model::form::{Expr, NameId, SubjectForm, TypeDef, TypeId};
use crate::model::names::quoted;

/// What may depend on itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Node {
    /// Who is bound to any role at the scopes of a type.
    Anyone(TypeId),
    /// A name's value at the scopes of a type.
    Value(TypeId, NameId),
    /// Who is bound to a role at the scopes of a type.
    Bound(TypeId, NameId),
}

/// How a value depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// At the same scope.
    Ref,
    /// One edge up a relation whose tuples never form a cycle.
    AcyclicUp,
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    to: usize,
    step: Step,
    /// Under the right side of an except.
    negative: bool,
}

#[derive(Debug, Default)]
struct Graph {
    ids: HashMap<Node, usize>,
    nodes: Vec<Node>,
    edges: Vec<Vec<Edge>>,
    /// The definitions in which an `as` stands.
    linked: BTreeSet<usize>,
}

/// Reports every negative dependency that lies on a cycle.
pub(super) fn check(defs: &Defs, draft: &mut Draft) {
    let graph = Graph::of(&draft.types);
    graph.check_links(defs, draft);
    let components = graph.components();
    let within = |from: usize, edge: &Edge| components.get(from) == components.get(edge.to);
    let mut sound: HashMap<usize, bool> = HashMap::new();
    for (from, edges) in graph.edges.iter().enumerate() {
        for edge in edges.iter().filter(|edge| edge.negative && within(from, edge)) {
            let component = components.get(from).copied().unwrap_or(from);
            let sound = *sound
                .entry(component)
                .or_insert_with(|| graph.is_well_founded(component, &components));
            if !sound {
                graph.report(from, edge.to, component, &components, defs, draft);
            }
        }
    }
}

impl Graph {
    fn of(types: &[TypeDef]) -> Self {
        let mut graph = Self::default();
        let ids = (0..types.len()).filter_map(|at| u16::try_from(at).ok().map(TypeId));
        for (at, def) in ids.zip(types) {
            let mut names: Vec<_> = def.defs.iter().collect();
            names.sort_by_key(|(name, _)| **name);
            for (name, value) in names {
                let from = graph.id(Node::Value(at, *name));
                let mut walk = Walk { graph: &mut graph, types, at, from, of_another: false };
                walk.expr(&value.expr, false);
            }
            let anyone = graph.id(Node::Anyone(at));
            for role in &def.roles {
                let from = graph.id(Node::Bound(at, role.name));
                graph.edge(anyone, Node::Bound(at, role.name), Step::Other, false);
                for form in &role.bound_by {
                    if let SubjectForm::Set(of, name) = form {
                        graph.edge(from, Node::Value(*of, *name), Step::Other, false);
                    }
                }
            }
        }
        graph
    }

    fn id(&mut self, node: Node) -> usize {
        let next = self.nodes.len();
        let id = *self.ids.entry(node).or_insert(next);
        if id == next {
            self.nodes.push(node);
            self.edges.push(Vec::new());
        }
        id
    }

    fn edge(&mut self, from: usize, to: Node, step: Step, negative: bool) {
        let to = self.id(to);
        if let Some(edges) = self.edges.get_mut(from) {
            edges.push(Edge { to, step, negative });
        }
    }

    fn edges_of(&self, node: usize) -> &[Edge] {
        self.edges.get(node).map_or(&[], Vec::as_slice)
    }

    /// The strongly connected component of each node (Tarjan, without recursion), by number.
    fn components(&self) -> Vec<usize> {
        Tarjan::new(self).run()
    }

    /// Reports every definition with an `as` under the right side of an except, once.
    fn check_links(&self, defs: &Defs, draft: &mut Draft) {
        let links = self.ways_to_links();
        for (from, edges) in self.edges.iter().enumerate() {
            let taken = edges.iter().filter(|edge| edge.negative);
            let Some(first) = taken.map(|edge| edge.to).find(|to| links.contains_key(to)) else {
                continue;
            };
            let mut path = vec![from, first];
            // Each node but the last is followed by the one through which it was found.
            while let Some(Some(next)) = path.last().and_then(|node| links.get(node)) {
                path.push(*next);
            }
            let shown = self.path_shown(&path, draft);
            let Some(Node::Value(at, name) | Node::Bound(at, name)) = self.nodes.get(from) else {
                continue;
            };
            let Some(place) = defs.places.get(&(*at, *name)).cloned() else { continue };
            let message = format!(
                "`{}` has an `as` under the right side of `except`: {}",
                shown.first().cloned().unwrap_or_default(),
                shown.join(" -> "),
            );
            draft.report.push(&place, message);
        }
    }

    /// Every node that leads to an `as`, with the next one on a shortest way there.
    fn ways_to_links(&self) -> HashMap<usize, Option<usize>> {
        let mut found: HashMap<usize, Option<usize>> =
            self.linked.iter().map(|node| (*node, None)).collect();
        if found.is_empty() {
            return found;
        }
        let mut into: HashMap<usize, Vec<usize>> = HashMap::new();
        for (from, edges) in self.edges.iter().enumerate() {
            for edge in edges {
                into.entry(edge.to).or_default().push(from);
            }
        }
        let mut queue: VecDeque<usize> = self.linked.iter().copied().collect();
        while let Some(node) = queue.pop_front() {
            for from in into.get(&node).into_iter().flatten() {
                if !found.contains_key(from) {
                    found.insert(*from, Some(node));
                    queue.push_back(*from);
                }
            }
        }
        found
    }

    /// The exception: ref and acyclic up steps alone, and no cycle of refs alone, so that each turn
    /// around a cycle ends nearer to the top of a hierarchy.
    fn is_well_founded(&self, component: usize, components: &[usize]) -> bool {
        let mut inner: HashMap<usize, Vec<usize>> = HashMap::new();
        for (from, edges) in self.edges.iter().enumerate() {
            if components.get(from) != Some(&component) {
                continue;
            }
            let refs = inner.entry(from).or_default();
            for edge in edges.iter().filter(|edge| components.get(edge.to) == Some(&component)) {
                match edge.step {
                    Step::Other => return false,
                    Step::Ref => refs.push(edge.to),
                    Step::AcyclicUp => {}
                }
            }
        }
        is_acyclic(&inner)
    }

    fn report(
        &self,
        from: usize,
        to: usize,
        component: usize,
        components: &[usize],
        defs: &Defs,
        draft: &mut Draft,
    ) {
        let mut path = vec![from];
        path.extend(self.path(to, from, component, components));
        let mut shown = self.path_shown(&path, draft);
        if let [only] = shown.as_slice() {
            shown = vec![only.clone(), only.clone()];
        }
        let Some(Node::Value(at, name) | Node::Bound(at, name)) = self.nodes.get(from) else {
            return;
        };
        let Some(place) = defs.places.get(&(*at, *name)).cloned() else { return };
        let first = shown.first().cloned().unwrap_or_default();
        let message = format!(
            "`{first}` depends on itself through the right side of `except`: {}",
            shown.join(" -> "),
        );
        draft.report.push(&place, message);
    }

    /// A path as a message shows it, each name once where it follows itself.
    fn path_shown(&self, path: &[usize], draft: &Draft) -> Vec<String> {
        let nodes = path.iter().filter_map(|node| self.nodes.get(*node));
        let mut shown: Vec<String> = nodes.filter_map(|node| self.shown(*node, draft)).collect();
        shown.dedup();
        shown
    }

    /// `None`: it has no name, and stands for those that follow it.
    fn shown(&self, node: Node, draft: &Draft) -> Option<String> {
        let (Node::Value(at, name) | Node::Bound(at, name)) = node else { return None };
        let text = draft.names.text(name);
        // A helper is shown as the name it helps.
        let is_helper = draft.names.get(text) != Some(name);
        let base =
            if is_helper { text.rsplit_once('/').map_or(text, |(base, _)| base) } else { text };
        Some(format!("{}@{}", quoted(base), draft.type_name(at)))
    }

    /// A shortest path within a component, both ends included.
    fn path(&self, from: usize, to: usize, component: usize, components: &[usize]) -> Vec<usize> {
        let mut before: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                break;
            }
            for edge in self.edges_of(node) {
                let inside = components.get(edge.to) == Some(&component);
                if inside && edge.to != from && !before.contains_key(&edge.to) {
                    before.insert(edge.to, node);
                    queue.push_back(edge.to);
                }
            }
        }
        let mut path = vec![to];
        let mut at = to;
        while at != from {
            let Some(&previous) = before.get(&at) else { break };
            path.push(previous);
            at = previous;
        }
        path.reverse();
        path
    }
}

/// Whether nodes can be taken away one by one, each when nothing leads to it any more.
fn is_acyclic(edges: &HashMap<usize, Vec<usize>>) -> bool {
    let mut into: HashMap<usize, usize> = edges.keys().map(|node| (*node, 0)).collect();
    for to in edges.values().flatten() {
        *into.entry(*to).or_default() += 1;
    }
    let mut free: Vec<usize> = into.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
    let mut taken = 0;
    while let Some(node) = free.pop() {
        taken += 1;
        for to in edges.get(&node).into_iter().flatten() {
            if let Some(n) = into.get_mut(to) {
                *n -= 1;
                if *n == 0 {
                    free.push(*to);
                }
            }
        }
    }
    taken == into.len()
}

/// Collects the dependencies of one definition.
struct Walk<'g> {
    graph: &'g mut Graph,
    types: &'g [TypeDef],
    at: TypeId,
    from: usize,
    /// Within what is asked of somebody else: no step there is one of the exception's.
    of_another: bool,
}

impl<'g> Walk<'g> {
    fn def(&self, at: TypeId) -> Option<&'g TypeDef> {
        self.types.get(usize::from(at.0))
    }

    fn expr(&mut self, expr: &Expr, negative: bool) {
        match expr {
            Expr::Here(role) => {
                self.graph.edge(self.from, Node::Bound(self.at, *role), Step::Other, negative);
            }
            Expr::HereAny(roles) => {
                for role in roles {
                    self.graph.edge(self.from, Node::Bound(self.at, *role), Step::Other, negative);
                }
            }
            Expr::Ref(name) => self.value(self.at, *name, Step::Ref, negative),
            Expr::Up { relation, name } => self.up(*relation, *name, false, negative),
            Expr::UpAll { relation, name } => self.up(*relation, *name, true, negative),
            Expr::Any(terms) | Expr::All(terms) => {
                terms.iter().for_each(|term| self.expr(term, negative));
            }
            Expr::Except(term, taken) => {
                self.expr(term, negative);
                self.expr(taken, true);
            }
            Expr::Anywhere { scopes, name } => {
                self.value(*scopes, *name, Step::Other, negative);
                // Which scopes are looked at depends on who is bound there.
                self.graph.edge(self.from, Node::Anyone(*scopes), Step::Other, negative);
            }
            Expr::As { expr: inner, .. } => {
                self.graph.linked.insert(self.from);
                let before = std::mem::replace(&mut self.of_another, true);
                self.expr(inner, negative);
                self.of_another = before;
            }
            Expr::OfTarget(inner) => {
                let before = std::mem::replace(&mut self.of_another, true);
                self.expr(inner, negative);
                self.of_another = before;
            }
            Expr::Fact(_) | Expr::Standing(_) | Expr::SelfIs | Expr::Condition(_) => {}
        }
    }

    fn value(&mut self, at: TypeId, name: NameId, step: Step, negative: bool) {
        let step = if self.of_another { Step::Other } else { step };
        if self.def(at).is_some_and(|def| def.defs.contains_key(&name)) {
            self.graph.edge(self.from, Node::Value(at, name), step, negative);
        }
    }

    fn up(&mut self, relation: NameId, name: NameId, every: bool, negative: bool) {
        let Some(def) = self.def(self.at) else { return };
        let is_acyclic = def.edge(relation).is_some_and(|edge| edge.is_parent && edge.acyclic);
        let step = if is_acyclic && !every { Step::AcyclicUp } else { Step::Other };
        for target in def.leads_to(relation) {
            self.value(target, name, step, negative);
        }
    }
}

/// Tarjan's algorithm with its own stack: a long chain of names must not exhaust the thread's.
struct Tarjan<'g> {
    graph: &'g Graph,
    index: Vec<Option<usize>>,
    low: Vec<usize>,
    component: Vec<usize>,
    open: Vec<usize>,
    is_open: Vec<bool>,
    next: usize,
    found: usize,
}

impl<'g> Tarjan<'g> {
    fn new(graph: &'g Graph) -> Self {
        let n = graph.nodes.len();
        Self {
            graph,
            index: vec![None; n],
            low: vec![0; n],
            component: vec![0; n],
            open: Vec::new(),
            is_open: vec![false; n],
            next: 0,
            found: 0,
        }
    }

    fn run(mut self) -> Vec<usize> {
        for root in 0..self.graph.nodes.len() {
            if self.index.get(root).copied().flatten().is_none() {
                self.visit(root);
            }
        }
        self.component
    }

    fn enter(&mut self, node: usize) {
        set(&mut self.index, node, Some(self.next));
        set(&mut self.low, node, self.next);
        set(&mut self.is_open, node, true);
        self.next += 1;
        self.open.push(node);
    }

    fn lower(&mut self, node: usize, to: usize) {
        if let Some(low) = self.low.get_mut(node) {
            *low = (*low).min(to);
        }
    }

    fn visit(&mut self, root: usize) {
        self.enter(root);
        let mut calls: Vec<(usize, usize)> = vec![(root, 0)];
        while let Some((node, edge)) = calls.pop() {
            if let Some(to) = self.graph.edges_of(node).get(edge).map(|edge| edge.to) {
                calls.push((node, edge + 1));
                match self.index.get(to).copied().flatten() {
                    None => {
                        self.enter(to);
                        calls.push((to, 0));
                    }
                    Some(index) if self.is_open.get(to) == Some(&true) => self.lower(node, index),
                    Some(_) => {}
                }
                continue;
            }
            let low = self.low.get(node).copied().unwrap_or_default();
            if self.index.get(node).copied().flatten() == Some(low) {
                self.close(node);
            }
            if let Some((parent, _)) = calls.last() {
                self.lower(*parent, low);
            }
        }
    }

    fn close(&mut self, root: usize) {
        while let Some(node) = self.open.pop() {
            set(&mut self.is_open, node, false);
            set(&mut self.component, node, self.found);
            if node == root {
                break;
            }
        }
        self.found += 1;
    }
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(slot) = values.get_mut(at) {
        *slot = value;
    }
}

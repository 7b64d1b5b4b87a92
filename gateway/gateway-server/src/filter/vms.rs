//! Which filters share a virtual machine on a worker, and the one place where machines come from.
//!
//! The snapshot says who shares. Filters of one machine are started together, in chain order and away from the workers, and
//! fail together; when the set or one of its members changes, all of them get a fresh machine beside the one that serves, so
//! that a version which does not start harms nobody.

use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::machine::Vm;
use super::services::Home;
use super::wasm::{FilterInstance, InstanceError};
use crate::shared::StartedPool;
use crate::snapshot::{FilterSpec, Snapshot};
use crate::worker::Worker;

/// Those of one machine, in chain order.
pub(super) struct VmGroup {
    /// Weak: each of them holds the group.
    members: OnceCell<Vec<Weak<FilterInstance>>>,
    /// Made for the workers before they saw the version, or the set.
    started: Arc<StartedPool>,
}

/// What runs in one machine, if it is shared. Weak: each of them holds the list.
pub(super) type Mates = Rc<RefCell<Vec<Weak<Vm>>>>;

/// The filters of a snapshot on a worker, by its indices: those of `previous` whose machine stays as it is, and the others
/// started. A filter that is not live has an instance without a machine.
pub(crate) fn instances(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    previous: &[Rc<FilterInstance>],
) -> Result<Vec<Rc<FilterInstance>>, InstanceError> {
    let mut filters = vec![None; snapshot.filters.len()];
    for set in &snapshot.shared_vms {
        let specs: Vec<_> = set.members.iter().map(|index| &snapshot.filters[*index]).collect();
        let members = match kept(&specs, previous) {
            Some(members) => members,
            None => started(worker, &specs, &set.started)?,
        };
        for (index, member) in set.members.iter().zip(members) {
            filters[*index] = Some(member);
        }
    }
    // Each filter is in one of the sets.
    Ok(filters.into_iter().flatten().collect())
}

/// The same set of the same versions, if it runs already.
fn kept(specs: &[&Arc<FilterSpec>], previous: &[Rc<FilterInstance>]) -> Option<Vec<Rc<FilterInstance>>> {
    let first = previous.iter().find(|filter| Arc::ptr_eq(&filter.spec, specs[0]))?;
    let members = first.group.members();
    let is_same = members.len() == specs.len()
        && members.iter().zip(specs).all(|(member, spec)| Arc::ptr_eq(&member.spec, spec));
    is_same.then_some(members)
}

fn started(
    worker: &Rc<Worker>,
    specs: &[&Arc<FilterSpec>],
    of_set: &Arc<StartedPool>,
) -> Result<Vec<Rc<FilterInstance>>, InstanceError> {
    let group = match specs {
        [spec] => VmGroup::of_one(spec),
        _ => VmGroup { members: OnceCell::new(), started: of_set.clone() },
    };
    let group = Rc::new(group);
    let member = |spec: &&Arc<FilterSpec>| FilterInstance::new(worker, (*spec).clone(), group.clone());
    let members: Vec<_> = specs.iter().map(member).collect();
    group.members.get_or_init(|| members.iter().map(Rc::downgrade).collect());
    // Filters that are not live share with nobody.
    if members.iter().all(|member| member.spec.live.is_ok()) {
        match group.start() {
            Ok(()) => {}
            // It is under way; requests wait for it, and for nothing else.
            Err(InstanceError::Starting { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(members)
}

/// The instance of a version on trial, in a machine of its own. A shadow's writes and calls go nowhere.
pub(super) fn candidate(
    worker: &Rc<Worker>,
    spec: &Arc<FilterSpec>,
    is_shadow: bool,
) -> Result<Rc<FilterInstance>, InstanceError> {
    let home = if is_shadow { Home::Shadow } else { Home::Worker(Rc::downgrade(worker)) };
    let group = Rc::new(VmGroup::of_one(spec));
    let member = FilterInstance::at(worker, spec.clone(), group.clone(), home);
    group.members.get_or_init(|| vec![Rc::downgrade(&member)]);
    group.start()?;
    Ok(member)
}

impl VmGroup {
    fn of_one(spec: &FilterSpec) -> Self {
        let started = spec.live.as_ref().map_or_else(|_| Arc::default(), |live| live.started.clone());
        Self { members: OnceCell::new(), started }
    }

    /// Whether there is one filter in it.
    pub(super) fn is_single(&self) -> bool {
        self.members.get().is_some_and(|members| members.len() == 1)
    }

    /// Those that are still there.
    pub(super) fn members(&self) -> Vec<Rc<FilterInstance>> {
        self.members.get().into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// The machine for this filter, after the last one failed: another one, and with it for the other members.
    pub(super) fn restart(&self, wanted: &Rc<FilterInstance>) -> Result<Rc<Vm>, InstanceError> {
        self.start()?;
        wanted.running().ok_or_else(|| wanted.is_starting())
    }

    /// Puts a fresh machine in the place of one that is to go, which ends with its streams. Where there is none to be had,
    /// it goes on until it is asked again.
    pub(super) fn renew(&self, wanted: &Rc<FilterInstance>, old: &Rc<Vm>) {
        if !wanted.is_running_in(old) {
            return;
        }
        let all: Vec<_> = self.members().iter().filter_map(|member| member.running()).collect();
        match self.start() {
            Ok(()) => all.iter().for_each(Vm::retire),
            // Soon there will be one.
            Err(InstanceError::Starting { .. }) => {}
            Err(error) => wanted.not_restarted(&error),
        }
    }

    /// Gives all members a machine, in the place of the one that they have.
    fn start(&self) -> Result<(), InstanceError> {
        let members = self.members();
        let Some(first) = members.first() else { return Ok(()) };
        let is_whole = self.members.get().is_some_and(|all| all.len() == members.len());
        if !is_whole {
            // Another set has taken its place; who is left ends with its streams.
            return Err(first.is_starting());
        }
        let modules = members.iter().map(|member| Ok(&member.live()?.module));
        let modules = modules.collect::<Result<Vec<_>, InstanceError>>()?;
        let plugins = first.supply_plugins(&members, &self.started)?;
        let mates = (members.len() > 1).then(Mates::default);
        for ((member, plugin), module) in members.iter().zip(plugins).zip(modules) {
            member.run(plugin, module, mates.clone());
        }
        Ok(())
    }
}

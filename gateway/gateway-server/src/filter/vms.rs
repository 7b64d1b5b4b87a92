//! Which filters share a virtual machine on a worker, and the one place where machines come from.
//!
//! The snapshot says who shares. Filters of one machine start together, in chain order, and fail together; when the set
//! or one of its members changes, all of them get a fresh machine beside the one that serves, so that a version which does
//! not start harms nobody.

use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use proxy_wasm_host::Plugin;

use super::machine::Vm;
use super::services::Home;
use super::wasm::{FilterInstance, InstanceError};
use crate::snapshot::{FilterSpec, Snapshot};
use crate::worker::Worker;

/// Those of one machine, in chain order.
pub(super) struct VmGroup {
    /// Weak: each of them holds the group.
    members: OnceCell<Vec<Weak<FilterInstance>>>,
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
    for indices in &snapshot.shared_vms {
        let specs: Vec<_> = indices.iter().map(|index| &snapshot.filters[*index]).collect();
        let members = match kept(&specs, previous) {
            Some(members) => members,
            None => started(worker, &specs)?,
        };
        for (index, member) in indices.iter().zip(members) {
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
) -> Result<Vec<Rc<FilterInstance>>, InstanceError> {
    let group = Rc::new(VmGroup { members: OnceCell::new() });
    let member = |spec: &&Arc<FilterSpec>| FilterInstance::new(worker, (*spec).clone(), group.clone());
    let members: Vec<_> = specs.iter().map(member).collect();
    group.members.get_or_init(|| members.iter().map(Rc::downgrade).collect());
    for member in members.iter().filter(|member| member.spec.live.is_ok()) {
        match group.start(member) {
            Ok(_) => {}
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
    let group = Rc::new(VmGroup { members: OnceCell::new() });
    let member = FilterInstance::at(worker, spec.clone(), group.clone(), home);
    group.members.get_or_init(|| vec![Rc::downgrade(&member)]);
    group.start(&member)?;
    Ok(member)
}

impl VmGroup {
    /// Whether there is one filter in it.
    pub(super) fn is_single(&self) -> bool {
        self.members.get().is_some_and(|members| members.len() == 1)
    }

    fn members(&self) -> Vec<Rc<FilterInstance>> {
        self.members.get().into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// The machine for this filter, after the last one failed: started anew, and with it the other members.
    pub(super) fn restart(&self, wanted: &Rc<FilterInstance>) -> Result<Rc<Vm>, InstanceError> {
        let mut failure = None;
        for member in self.members().iter().filter(|member| member.running().is_none()) {
            if let Err(error) = self.start(member) {
                if !Rc::ptr_eq(member, wanted) {
                    member.not_restarted(&error);
                }
                failure = Some(error);
            }
        }
        // One that traps while it starts takes with it those before it.
        match (wanted.running(), failure) {
            (Some(vm), _) => Ok(vm),
            (None, Some(error)) => Err(error),
            (None, None) => self.start(wanted),
        }
    }

    /// Puts a fresh machine in the place of one that grew too large, which ends with its streams. Where none can be started,
    /// it goes on.
    pub(super) fn renew(&self, wanted: &Rc<FilterInstance>, outgrown: &Rc<Vm>) {
        if !wanted.is_running_in(outgrown) {
            return;
        }
        let members = self.members();
        let old: Vec<_> = members.iter().map(|member| member.replace_vm(None)).collect();
        let mut running = members.iter().zip(&old).filter(|(_, old)| old.is_some());
        let started = running.try_for_each(|(member, _)| self.start(member).map(|_| ()));
        match started {
            Ok(()) => old.iter().flatten().for_each(Vm::retire),
            Err(error) => {
                wanted.not_restarted(&error);
                for (member, old) in members.iter().zip(old) {
                    if let Some(half) = member.replace_vm(old) {
                        half.retire();
                    }
                }
            }
        }
    }

    /// Starts one member: in the machine of those that run, or in a fresh one.
    fn start(&self, member: &Rc<FilterInstance>) -> Result<Rc<Vm>, InstanceError> {
        let live = member.live()?;
        if self.is_single() {
            return Ok(member.run(member.supply_plugin(live)?, &live.module, None));
        }
        let members = self.members();
        let neighbour = members.iter().find_map(|other| other.running());
        let (config, services) = (live.plugin.clone(), member.services());
        let plugin = match &neighbour {
            Some(neighbour) => neighbour.start_beside(config, services),
            None => Plugin::start(&live.module, config, services),
        };
        let plugin = plugin.map_err(|error| member.start_error(error))?;
        let mates = match neighbour {
            Some(neighbour) => neighbour.mates.clone(),
            None => (members.len() > 1).then(Mates::default),
        };
        Ok(member.run(plugin, &live.module, mates))
    }
}

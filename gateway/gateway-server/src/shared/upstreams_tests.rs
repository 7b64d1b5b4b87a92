use super::*;

#[test]
fn a_total_is_exact_over_threads() {
    let total = Arc::new(Total::default());
    let take = || {
        let total = total.clone();
        move || (0..50).filter_map(|_| total.take(70)).collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(take())).collect();
    let taken: Vec<Permit> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(taken.len(), 70);
    assert!(total.take(70).is_none());
    drop(taken);
    assert!(total.take(1).is_some());
}

#[test]
fn cells_are_summed_as_long_as_they_live() {
    let cells = Cells::default();
    let (one, two) = (Arc::new(GaugeCell::default()), Arc::new(GaugeCell::default()));
    cells.add(&one);
    cells.add(&two);
    one.add_as_owner(3);
    two.add_as_owner(4);
    assert_eq!(cells.sum(), 7);
    drop(one);
    assert_eq!(cells.sum(), 4);
}

#[test]
fn an_upstream_is_the_same_until_it_is_forgotten() {
    let table = UpstreamTable::default();
    let name: Arc<str> = "up".into();
    let first = table.of(&name);
    assert!(Arc::ptr_eq(&first, &table.of(&name)));
    table.retain(|name| name == "up");
    assert!(Arc::ptr_eq(&first, &table.of(&name)));
    table.retain(|_| false);
    assert!(!Arc::ptr_eq(&first, &table.of(&name)));
}

use super::*;

fn entries(node: &Node) -> &[(Key, Rc<Node>)] {
    match &node.content {
        Content::Mapping(entries) => entries,
        other => panic!("not a mapping: {other:?}"),
    }
}

fn message(text: &str) -> String {
    parse(text).err().map(|fault| fault.message).unwrap_or_default()
}

#[test]
fn nodes_know_their_place() {
    let tree = parse("a: 1\nb:\n  - {c: [x, yy]}\n  - 'q q'\n").unwrap();
    let root = tree.root.unwrap();
    assert_eq!(root.mark, Mark { line: 1, column: 1, width: 1 });
    let (key, list) = &entries(&root)[1];
    assert_eq!((key.text.as_str(), key.mark), ("b", Mark { line: 2, column: 1, width: 1 }));
    let Content::Sequence(items) = &list.content else { panic!("not a list") };
    assert_eq!(items[0].mark, Mark { line: 3, column: 5, width: 12 });
    assert_eq!(items[1].mark, Mark { line: 4, column: 5, width: 5 });
    assert_eq!(entries(&items[0])[0].1.mark, Mark { line: 3, column: 9, width: 7 });
}

#[test]
fn columns_count_characters() {
    let tree = parse("ä: ö\n").unwrap();
    assert_eq!(entries(&tree.root.unwrap())[0].1.mark, Mark { line: 1, column: 4, width: 1 });
}

#[test]
fn only_an_unquoted_word_can_mean_nothing() {
    for (text, is_null) in
        [("~", true), ("null", true), ("a:", true), ("''", false), ("'null'", false), ("nil", false)]
    {
        let root = parse(text).unwrap().root.unwrap();
        let node =
            if let Content::Mapping(entries) = &root.content { Rc::clone(&entries[0].1) } else { root };
        assert_eq!(node.is_null(), is_null, "{text}");
    }
}

#[test]
fn an_empty_text_has_no_root() {
    assert!(parse("").unwrap().root.is_none());
    assert!(parse("# only a comment\n").unwrap().root.is_none());
}

#[test]
fn aliases_repeat_a_value_but_not_without_end() {
    let tree = parse("a: &x [1, 2]\nb: *x\n").unwrap();
    let root = tree.root.unwrap();
    assert!(Rc::ptr_eq(&entries(&root)[0].1, &entries(&root)[1].1));
    assert_eq!(message("a: &x [*x]\n"), "this alias stands inside the value that it repeats");

    let levels = |count: usize| {
        (0..count)
            .map(|n| {
                format!("k{n}: &a{n} {}\n", if n == 0 { "[x]".into() } else { format!("[*a{}]", n - 1) })
            })
            .collect::<String>()
    };
    assert_eq!(message(&levels(MAX_DEPTH - 1)), "");
    assert!(message(&levels(MAX_DEPTH)).contains("more than 32 deep"));
}

#[test]
fn the_number_of_values_is_bounded() {
    let list = |count: usize| format!("[{}]", "x,".repeat(count));
    assert_eq!(message(&list(MAX_NODES - 1)), "");
    assert!(message(&list(MAX_NODES)).contains("more than 500000 values"));
    assert!(message(&" ".repeat(MAX_FILE_BYTES + 1)).contains("larger than 4MiB"));
}

#[test]
fn the_first_of_two_equal_keys_stays() {
    let tree = parse("a: 1\nb: 2\n'a': 3\n").unwrap();
    assert_eq!(entries(&tree.root.unwrap()).len(), 2);
    assert_eq!(tree.faults.len(), 1);
    assert_eq!(tree.faults[0].mark.map(|mark| mark.line), Some(3));
}

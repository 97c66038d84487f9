use super::*;

const FOREVER: Duration = Duration::from_secs(3600);

fn outbox(unread: &Arc<Unread>, answers: usize) -> (Arc<Outbox>, Vec<PendingResponse>) {
    let outbox = Arc::new(unread.outbox());
    let answers = (0..answers).map(|_| outbox.put(Bytes::from_static(&[0; 100]), None)).collect();
    outbox.settle();
    (outbox, answers)
}

async fn is_closed(outbox: &Outbox) -> bool {
    tokio::select! {
        biased;
        () = outbox.overflows() => true,
        () = tokio::task::yield_now() => false,
    }
}

#[tokio::test]
async fn the_connection_with_the_most_unread_answers_is_closed() {
    let unread = Arc::new(Unread::new(10 * (STREAM + 100), FOREVER));
    let (few, _kept) = outbox(&unread, 2);
    let (most, mut answers) = outbox(&unread, 6);
    let (some, _kept_too) = outbox(&unread, 2);
    assert!(!is_closed(&few).await && !is_closed(&most).await && !is_closed(&some).await, "all that may be");
    answers.truncate(5);
    most.settle();
    let (newcomer, _kept_as_well) = outbox(&unread, 1);
    assert!(!is_closed(&most).await && !few.must_wait(), "what was written counts no more");
    let (_last, _kept_at_last) = outbox(&unread, 1);
    assert!(few.must_wait(), "nothing is read until it closes");
    assert!(is_closed(&most).await && !is_closed(&few).await && !is_closed(&newcomer).await);
    most.closes();
    assert!(!few.must_wait());
    drop((answers, most));
    assert_eq!(unread.stuck().total.octets, 6 * (STREAM + 100));
    drop((few, some, newcomer));
}

#[tokio::test]
async fn what_is_written_at_once_is_never_stuck() {
    let unread = Arc::new(Unread::new(0, FOREVER));
    let (outbox, _) = outbox(&unread, 0);
    for _ in 0..100 {
        drop(outbox.put(Bytes::from_static(b"answer"), Some(outbox.begin())));
        outbox.settle();
    }
    assert!(!is_closed(&outbox).await);
}

#[tokio::test]
async fn an_answer_has_a_deadline() {
    let unread = Arc::new(Unread::new(MAX_UNREAD, Duration::from_millis(8)));
    let (outbox, answers) = outbox(&unread, 1);
    outbox.overflows().await;
    drop(answers);
    outbox.blocked(0);
    outbox.overflows().await;
    outbox.flushed();
    assert!(!is_closed(&outbox).await);
    outbox.partial(1, true);
    outbox.overflows().await;
    outbox.partial(0, false);
    assert!(!is_closed(&outbox).await);
}

#[tokio::test]
async fn slots_of_streams_count_for_as_long_as_the_connection_lives() {
    let unread = Arc::new(Unread::new(10 * SLOT, FOREVER));
    let (outbox, _) = outbox(&unread, 0);
    outbox.arrived(FREE_SLOTS);
    let calls: Vec<_> = (0..FREE_SLOTS).map(|_| outbox.begin()).collect();
    outbox.arrived(10);
    outbox.settle();
    assert!(!is_closed(&outbox).await && !outbox.is_light());
    drop(calls);
    assert!(outbox.is_light());
    outbox.arrived(FREE_SLOTS + 11);
    outbox.settle();
    assert!(is_closed(&outbox).await);
}

#[tokio::test]
async fn slots_of_many_connections_count_together() {
    let unread = Arc::new(Unread::new(0, FOREVER));
    let outboxes: Vec<_> = (0..FREE_SLOTS / FEW).map(|_| outbox(&unread, 0).0).collect();
    for outbox in &outboxes {
        outbox.arrived(FEW);
        let calls: Vec<_> = (0..FEW).map(|_| outbox.begin()).collect();
        assert!(outbox.is_light(), "calls of so few may end");
        drop(calls);
        outbox.settle();
    }
    let mut closed = 0;
    for outbox in &outboxes {
        closed += usize::from(is_closed(outbox).await);
    }
    assert_eq!(closed, 0);
    let (one, _) = outbox(&unread, 0);
    one.arrived(FEW + 1);
    one.settle();
    assert!(is_closed(&one).await);
}

#[tokio::test]
async fn what_a_table_of_headers_may_hold_counts() {
    let unread = Arc::new(Unread::new(1000, FOREVER));
    let (outbox, _) = outbox(&unread, 0);
    outbox.tabled(1001);
    outbox.tabled(1000);
    outbox.settle();
    assert!(!is_closed(&outbox).await);
    outbox.tabled(1001);
    outbox.settle();
    assert!(is_closed(&outbox).await);
}

#[tokio::test]
async fn frames_that_do_not_end_count() {
    let unread = Arc::new(Unread::new(1000, FOREVER));
    let (outbox, _) = outbox(&unread, 0);
    outbox.partial(1000, true);
    outbox.settle();
    assert!(!is_closed(&outbox).await);
    outbox.partial(1001, false);
    outbox.settle();
    assert!(is_closed(&outbox).await);
}

#[tokio::test]
async fn messages_that_do_not_end_count_and_what_cannot_be_sent() {
    let unread = Arc::new(Unread::new(1000, FOREVER));
    let (outbox, _) = outbox(&unread, 0);
    let call = outbox.begin();
    call.holds(600);
    outbox.blocked(400);
    outbox.settle();
    assert!(!is_closed(&outbox).await);
    call.holds(1);
    outbox.settle();
    assert!(is_closed(&outbox).await);
    call.gives_back(601);
    outbox.flushed();
    assert_eq!(outbox.answers().stuck().octets, 0);
}

#[tokio::test]
async fn few_end_in_peace_together() {
    let unread = Arc::new(Unread::new(MAX_UNREAD, FOREVER));
    let outboxes: Vec<_> = (0..MAX_LINGERING / CONNECTION).map(|_| outbox(&unread, 0).0).collect();
    let lingering: Vec<_> = outboxes.iter().map_while(|outbox| outbox.linger()).collect();
    assert!((32..outboxes.len()).contains(&lingering.len()), "{} of {}", lingering.len(), outboxes.len());
    drop(lingering);
    assert_eq!(unread.stuck().lingering, 0);
    assert!(outboxes.iter().all(|outbox| outbox.linger().is_some()), "one after the other");
}

#[tokio::test]
async fn who_ends_in_peace_begins_nothing_new() {
    let unread = Arc::new(Unread::new(MAX_UNREAD, FOREVER));
    let (outbox, _) = outbox(&unread, 0);
    outbox.arrived(FEW);
    let _calls: Vec<_> = (0..FEW).map(|_| outbox.begin()).collect();
    outbox.closes();
    let _lingers = outbox.linger().expect("it holds little");
    outbox.arrived(LATE);
    outbox.settle();
    assert!(!is_closed(&outbox).await);
    outbox.arrived(LATE + 1);
    outbox.settle();
    assert!(is_closed(&outbox).await);
}

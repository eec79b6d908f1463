use crate::dns::Srv;

/// Gives a random number from 0 to the argument, both included.
pub type Draw<'a> = dyn FnMut(u32) -> u32 + Send + 'a;

/// Sorts records into the order in which they are to be tried, by RFC 2782.
///
/// `srv` tells the SRV data of an item. One number is drawn for each choice among several items of one priority.
pub fn order_by_weight<T>(mut items: Vec<T>, srv: impl Fn(&T) -> &Srv, draw: &mut Draw<'_>) -> Vec<T> {
    // RFC 2782: within a priority, those of weight 0 stand first when the running sum is formed.
    items.sort_by_key(|item| (srv(item).priority, srv(item).weight != 0));
    let mut ordered = Vec::with_capacity(items.len());
    while let Some(first) = items.first() {
        let priority = srv(first).priority;
        let same = items.partition_point(|item| srv(item).priority == priority);
        let choice = choose(items.get(..same).unwrap_or_default(), &srv, draw);
        ordered.push(items.remove(choice));
    }
    ordered
}

fn choose<T>(items: &[T], srv: impl Fn(&T) -> &Srv, draw: &mut Draw<'_>) -> usize {
    if items.len() == 1 {
        return 0;
    }
    let total: u32 = items.iter().map(|item| u32::from(srv(item).weight)).sum();
    let drawn = draw(total).min(total);
    let mut sum = 0;
    items
        .iter()
        .position(|item| {
            sum += u32::from(srv(item).weight);
            sum >= drawn
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    fn records(rows: &[(u16, u16)]) -> Vec<Srv> {
        let target = Name::parse("host.example").unwrap();
        rows.iter().map(|&(priority, weight)| Srv { priority, weight, port: 1, target: target.clone() }).collect()
    }

    fn order(rows: &[(u16, u16)], draws: &[u32]) -> Vec<(u16, u16)> {
        let mut draws = draws.iter().copied();
        let ordered = order_by_weight(records(rows), |srv| srv, &mut move |_| draws.next().unwrap());
        ordered.iter().map(|srv| (srv.priority, srv.weight)).collect()
    }

    // checks: AR-11
    #[test]
    fn rfc2782_lower_priority_comes_first_without_a_draw() {
        assert_eq!(order(&[(2, 9), (1, 1), (3, 5)], &[]), [(1, 1), (2, 9), (3, 5)]);
    }

    // checks: AR-11
    #[test]
    fn rfc2782_weight_zero_is_chosen_only_by_a_zero() {
        assert_eq!(order(&[(1, 10), (1, 0)], &[0]), [(1, 0), (1, 10)]);
        assert_eq!(order(&[(1, 10), (1, 0)], &[1]), [(1, 10), (1, 0)]);
    }

    // checks: AR-11
    #[test]
    fn rfc2782_shares_follow_the_weights() {
        let mut first = [0u32; 3];
        for drawn in 0..=100 {
            let weights = [(1, 0), (1, 60), (1, 40)];
            let ordered = order(&weights, &[drawn, 0]);
            first[weights.iter().position(|w| *w == ordered[0]).unwrap()] += 1;
        }
        assert_eq!(first, [1, 60, 40]);
    }

    #[test]
    fn a_draw_out_of_range_is_harmless() {
        assert_eq!(order(&[(1, 1), (1, 2)], &[u32::MAX]), [(1, 2), (1, 1)]);
    }
}

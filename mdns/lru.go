package mdns

import "container/list"

// lru keeps values within a budget of octets, the least recently used going
// first. It is not locked.
type lru[K comparable, V any] struct {
	budget, used int64
	order        *list.List // of *lruItem[K, V], most recently used first
	byKey        map[K]*list.Element
	evicted      int
}

type lruItem[K comparable, V any] struct {
	key  K
	v    V
	cost int64
}

func newLRU[K comparable, V any](budget int64) *lru[K, V] {
	return &lru[K, V]{budget: budget, order: list.New(), byKey: map[K]*list.Element{}}
}

// get is the value, which counts as used now.
func (l *lru[K, V]) get(key K) (v V, ok bool) {
	el := l.byKey[key]
	if el == nil {
		return v, false
	}
	l.order.MoveToFront(el)
	return el.Value.(*lruItem[K, V]).v, true
}

// costOf is what the value under a key was said to cost.
func (l *lru[K, V]) costOf(key K) (cost int64, ok bool) {
	el := l.byKey[key]
	if el == nil {
		return 0, false
	}
	return el.Value.(*lruItem[K, V]).cost, true
}

// put keeps a value in place of the one under its key; one that costs more than
// the whole budget is not kept.
func (l *lru[K, V]) put(key K, v V, cost int64) {
	if el := l.byKey[key]; el != nil {
		l.remove(el)
	}
	if cost > l.budget {
		return
	}
	for l.used+cost > l.budget {
		l.remove(l.order.Back())
		l.evicted++
	}
	l.byKey[key] = l.order.PushFront(&lruItem[K, V]{key, v, cost})
	l.used += cost
}

func (l *lru[K, V]) remove(el *list.Element) {
	it := l.order.Remove(el).(*lruItem[K, V])
	delete(l.byKey, it.key)
	l.used -= it.cost
}

func (l *lru[K, V]) purge() {
	l.order.Init()
	clear(l.byKey)
	l.used = 0
}

package storetest

import "testing"

var lifeTests = map[string]func(*testing.T, *env){}
var contentTests = map[string]func(*testing.T, *env){}
var stageTests = map[string]func(*testing.T, *env){}
var memberTests = map[string]func(*testing.T, *env){}
var feedTests = map[string]func(*testing.T, *env){}
var fleetTests = map[string]func(*testing.T, *env){}
var wantedTests = map[string]func(*testing.T, *env){}
var keeperTests = map[string]func(*testing.T, *env){}
var guardTests = map[string]func(*testing.T, *env){}
var togetherTests = map[string]func(*testing.T, *env){}

// Package servers attaches sysprof to redis, nginx, postgres and sleeping threads under load, once each, or again and again
// (.ci/soak). It has tests alone.
package servers

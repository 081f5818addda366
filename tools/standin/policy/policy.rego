# The built-in policy of the stand-in's bouncers, for a real OPA.
package enabled

default allow := false

allow if {
	input.user.id == "canary-allow"
	input.resource.id == "canary-resource"
	input.action.name == "read"
}

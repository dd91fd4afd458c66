# Tcl cells at the global level.
namespace eval cell_driver {
    variable cells [open $env(CELL_IN) r]
    variable answers [open $env(CELL_OUT) w]
}
fconfigure stdout -buffering none
fconfigure $cell_driver::answers -buffering line
puts $cell_driver::answers ready
while {[gets $cell_driver::cells cell_driver::path] >= 0} {
    set cell_driver::word ok
    if {[catch {uplevel #0 [list source $cell_driver::path]}]} {
        puts stderr $::errorInfo
        set cell_driver::word error
    }
    flush stdout
    puts $cell_driver::answers $cell_driver::word
}

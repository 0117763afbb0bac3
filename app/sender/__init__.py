"""The process that sends by apprise: a child of the daemon, there only while something is to be sent.

apprise is large, keeps no time limits of its own, and does what an address asks for. Here it has a process that can be
ended, connects where NOTIFY_ALLOW and the rules of app.notify let it, and can neither read files nor start programs.
"""

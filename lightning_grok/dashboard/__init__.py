"""The live page and the report: one page over runs, from a local server or out of one file.

run_folder    all runs below a folder
epoch_axis, colors, traces, view    what Plotly figures are made of
run_views, umap_view, class_views, comparison
              run directories -> Plotly figures, as plain dicts
pages         what the browser asks for: views with their titles, legends and epochs
server        hands pages out on 127.0.0.1
live_page     the server as a process beside a run, for as long as it goes on
report        the same pages in one HTML file

Everything here reads run directories only. ``static/`` has the page itself; its script knows views,
epochs and a slider, but nothing of what is measured: `lightning_grok.runs.quantities` says that.
"""

from lightning_grok.cli import main

main()

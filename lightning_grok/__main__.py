from lightning_grok.commands.main import main

main()
